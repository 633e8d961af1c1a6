"""Without torch, training says what to install, and everything else imports."""

import subprocess
import sys

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import corpusmill.mixtures.sweep, corpusmill.mixtures.designs, corpusmill.mixtures.loader
try:
    import corpusmill.mixtures.proxy.swarm
except Exception as error:
    print(type(error).__name__, error.exit_code, error)
"""


def test_a_missing_torch_is_a_message_with_the_command() -> None:
    found = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == (
        "MissingExtraError 2 training proxies needs the extra 'proxy': pip install 'corpusmill[proxy]'"
    )
