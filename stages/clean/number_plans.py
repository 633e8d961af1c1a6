"""Tables of the number plans that personal data follows: who issues what, and how long it is."""

from typing import Final

CARD_ISSUERS: Final = (  # lowest and highest first digits, lengths (ISO/IEC 7812 as the schemes publish their ranges)
    (4, 4, (13, 16, 19)),  # Visa
    (51, 55, (16,)),  # Mastercard
    (2221, 2720, (16,)),
    (34, 34, (15,)),  # American Express
    (37, 37, (15,)),
    (6011, 6011, (16, 17, 18, 19)),  # Discover
    (644, 649, (16, 17, 18, 19)),
    (65, 65, (16, 17, 18, 19)),
    (35, 35, (16,)),  # JCB
    (3528, 3589, (17, 18, 19)),
    (1800, 1800, (15,)),
    (2131, 2131, (15,)),
    (300, 305, (14, 16, 19)),  # Diners Club
    (3095, 3095, (14, 16, 19)),
    (36, 36, (14, 16, 19)),
    (38, 39, (14, 16, 19)),
    (62, 62, (16, 17, 18, 19)),  # UnionPay
    (81, 81, (16, 17, 18, 19)),
    (2200, 2204, (16, 17, 18, 19)),  # Mir
    (5018, 5018, (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (5020, 5020, (12, 13, 14, 15, 16, 17, 18, 19)),
    (5038, 5038, (12, 13, 14, 15, 16, 17, 18, 19)),
    (56, 58, (12, 13, 14, 15, 16, 17, 18, 19)),
    (6304, 6304, (12, 13, 14, 15, 16, 17, 18, 19)),
    (6759, 6759, (12, 13, 14, 15, 16, 17, 18, 19)),
    (6761, 6763, (12, 13, 14, 15, 16, 17, 18, 19)),
)

_IBAN_LENGTHS = (
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DJ:27 "
    "DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HN:28 HR:21 HU:28 "
    "IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 "
    "MK:19 MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 RU:33 SA:24 "
    "SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 YE:30"
)
IBAN_LENGTHS: Final = {country: int(size) for country, size in (entry.split(":") for entry in _IBAN_LENGTHS.split())}
"""Characters by country, from the IBAN registry of SWIFT (ISO 13616)."""

_CHINESE_REGIONS = (
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83"
)
CHINESE_REGIONS: Final = frozenset(_CHINESE_REGIONS.split())
"""First two digits of GB/T 2260: the provinces, with the codes of Taiwan, Hong Kong and Macau."""

_COMMON_DOMAINS = (
    "academy aero agency amazon amsterdam app apple arpa art asia bank bar beauty berlin bio biz blog cafe care "
    "cat church city clinic cloud club coffee com community company consulting coop design dev digital doctor eco "
    "edu education email energy engineering eus farm fashion film finance flights foundation gal gallery game "
    "games garden global google gov green group health holiday homes hospital hotel house icu info institute int "
    "international jobs land law legal life live london media microsoft mil mobi museum music name net network "
    "news nyc online org page paris photo photography pizza post pro pub restaurant school scot services shop "
    "site social software solutions space store studio style support swiss systems team tech tel today tokyo top "
    "tours travel university vip web website wien work works world xxx xyz"
)
COMMON_DOMAINS: Final = frozenset(_COMMON_DOMAINS.split())
"""Generic top-level domains in use; those of two letters and those not in Latin are taken as known."""
