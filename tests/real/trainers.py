"""Run in .venv-trainers: a plan read and trained on by another trainer. Prints what it saw as JSON on the last line.

python tests/real/trainers.py grain|trainer|torchtitan RUN
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from corpusmill.mixtures.loader import PlanLoader
from corpusmill.mixtures.plan import Plan
from corpusmill.mixtures.random_access import PlanSource, plan_items
from corpusmill.mixtures.torch_data import PlanDataset, PlanStream

BATCH, STEPS, HALF = 8, 14, 6


def open_plan(run: Path) -> PlanLoader:
    return PlanLoader.open(run, Plan.load(run / "plans/main.json"))


def read_by_grain(run: Path) -> Any:
    """Grain's DataLoader with two worker processes, and its MapDataset stopped and resumed from its own state."""
    import grain

    source = PlanSource(open_plan(run))
    assert isinstance(source, grain.sources.RandomAccessDataSource)
    sampler = grain.samplers.SequentialSampler(len(source), grain.sharding.NoSharding())
    loader = grain.DataLoader(data_source=source, sampler=sampler, worker_count=2, worker_buffer_size=4)
    straight = [item["inputs"].tolist() for item, _ in zip(loader, range(40), strict=False)]
    batches = iter(grain.MapDataset.source(source).to_iter_dataset().batch(BATCH))
    before = [next(batches)["inputs"].tolist() for _ in range(2)]
    state = batches.get_state()
    again = iter(grain.MapDataset.source(source).to_iter_dataset().batch(BATCH))
    again.set_state(state)
    return {"straight": straight, "batches": [*before, next(again)["inputs"].tolist()]}


def train_with_hugging_face(run: Path) -> Any:
    """Trainer on the map-style dataset in the plan's order, stopped on the way and resumed from its checkpoint;
    then on an iterable dataset of Hugging Face's own."""
    from datasets import IterableDataset
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed

    seen: list[list[list[int]]] = []

    class Seeing(Trainer):  # type: ignore[misc]  # Any here, typed there
        def compute_loss(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            seen.append(inputs["input_ids"].tolist())
            return super().compute_loss(model, inputs, *rest, **named)

    class StopAt(TrainerCallback):  # type: ignore[misc]  # Any here, typed there
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            control.should_training_stop = state.global_step == HALF

    loader = open_plan(run)
    shape = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}

    def trained(dataset: Any, folder: str, callbacks: list[Any], resume: bool = False) -> Any:
        set_seed(0)
        model = LlamaForCausalLM(LlamaConfig(num_attention_heads=4, max_position_embeddings=64, **shape))
        settings = TrainingArguments(
            output_dir=str(run / folder),
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            learning_rate=5e-3,
            train_sampling_strategy="sequential",
            logging_steps=1,
            save_steps=HALF,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Seeing(model=model, args=settings, train_dataset=dataset, callbacks=callbacks)
        trainer.train(resume_from_checkpoint=resume or None)
        return [line["loss"] for line in trainer.state.log_history if "loss" in line]

    straight = trained(PlanDataset(loader, shifted=False), "straight", [])
    order = [*seen]
    trained(PlanDataset(loader, shifted=False), "resumed", [StopAt()])
    seen.clear()
    resumed = trained(PlanDataset(loader, shifted=False), "resumed", [], resume=True)
    after = [*seen]
    seen.clear()
    items = IterableDataset.from_generator(
        plan_items, gen_kwargs={"run": str(run), "plan": str(run / "plans/main.json")}
    )
    trained(items, "iterable", [])
    return {"losses": straight, "resumed": resumed, "order": order, "after": after, "iterable": [*seen]}


def train_with_torchtitan(run: Path) -> Any:
    """torchtitan's own trainer, loss and Llama on this machine's CPU: straight through; and half the way, a checkpoint,
    a new trainer, and the rest."""
    on_cpu()
    from torchtitan.components.dataloader import BaseDataLoader
    from torchtitan.components.tokenizer import BaseTokenizer
    from torchtitan.models.common.attention import ScaledDotProductAttention
    from torchtitan.models.llama3.config_registry import llama3_debugmodel

    seen: list[list[list[int]]] = []

    class PlanDataLoader(BaseDataLoader):  # type: ignore[misc]  # Any here, typed there
        """A plan as torchtitan's dataloader: all that its users write."""

        @dataclass(kw_only=True, slots=True)
        class Config(BaseDataLoader.Config):  # type: ignore[misc]  # Any here, typed there
            run: str = ""

        def __init__(self, config: Any, *, dp_world_size: int, dp_rank: int, local_batch_size: int, **_: Any) -> None:
            rows = local_batch_size * dp_world_size
            loader = open_plan(Path(config.run))
            self.stream = PlanStream(loader, rows, rank=dp_rank, num_ranks=dp_world_size, documents=True)

        def __iter__(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
            for batch in self.stream:
                seen.append(batch["input_ids"].tolist())
                yield {"input": batch["input_ids"], "positions": batch["position_ids"].long()}, batch["labels"]

        def state_dict(self) -> dict[str, Any]:
            return self.stream.state_dict()

        def load_state_dict(self, state: dict[str, Any]) -> None:
            if state:
                self.stream.load_state_dict(state)

    class NoTokenizer(BaseTokenizer):  # type: ignore[misc]  # Any here, typed there
        @dataclass(kw_only=True, slots=True)
        class Config(BaseTokenizer.Config):  # type: ignore[misc]  # Any here, typed there
            pass

        def __init__(self, config: Any, **_: Any) -> None:
            super().__init__()

        def encode(self, *_: Any, **__: Any) -> list[int]:
            raise NotImplementedError

        def decode(self, *_: Any, **__: Any) -> str:
            raise NotImplementedError

        def get_vocab_size(self) -> int:
            return 2048

    def trained(folder: str, steps: int) -> list[float]:
        config = llama3_debugmodel()
        for layer in config.model_spec.model.layers:  # the masked kinds have no backward on a CPU
            layer.attention.inner_attention = ScaledDotProductAttention.Config()
        config.dataloader = PlanDataLoader.Config(run=str(run))
        config.tokenizer = NoTokenizer.Config()
        config.validator.enable = False
        config.dump_folder = str(run / folder)
        config.training.local_batch_size, config.training.seq_len, config.training.steps = BATCH, 32, steps
        config.training.disable_cuda_graphs = True
        config.checkpoint.enable, config.checkpoint.interval = True, HALF
        trainer = config.build()
        losses: list[float] = []
        trainer.metrics_processor.log = lambda step, loss, *_, **__: losses.append(float(loss))
        trainer.train()
        trainer.close()
        torch.distributed.destroy_process_group()
        return losses

    straight = trained("straight", STEPS)
    order = [*seen]
    seen.clear()
    trained("resumed", HALF)
    seen.clear()
    resumed = trained("resumed", STEPS)
    return {"losses": straight, "resumed": resumed, "order": order, "after": [*seen]}


def on_cpu() -> None:
    """torchtitan takes CUDA for granted where there is no accelerator: tells it otherwise before it is imported, and
    gives it memory figures. Its loop, model, loss, optimizer and checkpoints are its own."""
    import os
    from types import SimpleNamespace

    import torch._utils

    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    torch._utils._get_available_device_type = lambda: "cpu"
    from torchtitan.components import metrics
    from torchtitan.distributed import utils

    utils.set_pg_timeouts = lambda **_: None  # names a device, which gloo refuses
    figures = metrics.DeviceMemStats(0, 0, 0, 0, 0, 0)
    metrics.build_device_memory_monitor = lambda: SimpleNamespace(
        device_name="cpu", get_peak_stats=lambda: figures, reset_peak_stats=lambda: None
    )


if __name__ == "__main__":
    modes = {"grain": read_by_grain, "trainer": train_with_hugging_face, "torchtitan": train_with_torchtitan}
    print(json.dumps(modes[sys.argv[1]](Path(sys.argv[2]))))
