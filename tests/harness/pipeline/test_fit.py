"""The process of one training."""

from xlift.harness.pipeline.fit import see_one_gpu


def test_one_training_sees_one_gpu() -> None:
    for before, after in ((None, "0"), ("2,3", "2"), ("GPU-8f3a,GPU-11c0", "GPU-8f3a"), ("", "")):
        environment = {} if before is None else {"CUDA_VISIBLE_DEVICES": before}
        see_one_gpu(environment)
        assert environment == {"CUDA_VISIBLE_DEVICES": after}
