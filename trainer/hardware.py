"""What there is to train on, and what follows from it: precision and how many devices.

On a GPU, layers compute in 16 bit and keep their weights in 32 bit (Micikevicius et al. 2018); on
CPUs everything stays in 32 bit. A model is handed on in 32 bit always.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from trainer.recipes import Built
from trainer.runtime import keras

Log = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How training uses the machine."""

    policy: str
    """Keras's dtype policy: float32, mixed_bfloat16 or mixed_float16."""
    devices: int
    """Among how many a batch is dealt."""
    note: str
    """The same in words; empty on a CPU."""


def plan(gpus: int, backend: str, capability: float | None) -> Plan:
    """What to do with so many GPUs.

    Args:
        gpus: how many Keras sees.
        backend: of Keras.
        capability: CUDA compute capability of the first; from 8.0 on it computes in bfloat16,
            which has the range of 32 bit and needs no scaled loss.
    """
    if not gpus:
        return Plan("float32", 1, "")
    policy = "mixed_bfloat16" if capability and capability >= 8.0 else "mixed_float16"
    if gpus == 1:
        return Plan(policy, 1, f"One GPU, {policy}.")
    if backend == "jax":
        return Plan(policy, gpus, f"{gpus} GPUs, each takes its share of a batch; {policy}.")
    return Plan(
        policy, 1, f"{policy} on one of {gpus} GPUs: set KERAS_BACKEND=jax to train on them all."
    )


@contextmanager
def suited(log: Log = lambda _: None, chosen: Plan | None = None) -> Iterator[Plan]:
    """Use what there is while the block runs, or what a plan says; then all is as before."""
    k = keras()
    if chosen is None:
        # Not `list_devices("gpu")`: JAX raises where there is none.
        gpus = sum(one.startswith("gpu") for one in k.distribution.list_devices())
        backend = k.backend.backend()
        chosen = plan(gpus, backend, _capability(backend) if gpus else None)
    if chosen.note:
        log(chosen.note)
    policy, distribution = k.config.dtype_policy(), k.distribution.distribution()
    k.config.set_dtype_policy(chosen.policy)
    if chosen.devices > 1:
        found = k.distribution.list_devices()[: chosen.devices]
        k.distribution.set_distribution(k.distribution.DataParallel(devices=found))
    try:
        yield chosen
    finally:
        k.config.set_dtype_policy(policy)
        k.distribution.set_distribution(distribution)


def in_float32(built: Built) -> Built:
    """The same network and weights, computing in 32 bit; itself where it does already."""
    k = keras()
    model = built.model
    if all(one.dtype_policy.name == "float32" for one in model.layers):
        return built
    policy = k.config.dtype_policy()
    k.config.set_dtype_policy("float32")
    try:
        made = k.Model.from_config(_policies_in_float32(model.get_config()))
    finally:
        k.config.set_dtype_policy(policy)
    made.set_weights(model.get_weights())
    return replace(built, model=made)


def _policies_in_float32(config: Any) -> Any:
    """A layer's or model's configuration with every dtype policy set to float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": "float32"}}
        return {key: _policies_in_float32(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_policies_in_float32(value) for value in config)
    if isinstance(config, str) and config.startswith("mixed_"):
        return "float32"
    return config


def _capability(backend: str) -> float | None:
    """CUDA compute capability of the first GPU, for example 8.0; None where it is not known."""
    if backend == "jax":
        import jax

        found = getattr(jax.devices()[0], "compute_capability", None)
        return float(found) if found else None
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = tf.config.experimental.get_device_details(gpus[0])
        found = details.get("compute_capability")
        return float(f"{found[0]}.{found[1]}") if found else None
    return None
