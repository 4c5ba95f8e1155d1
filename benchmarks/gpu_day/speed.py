"""How fast a student's steps are, one by one and as a graph, in turn; how much of the GPU they use."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_day.online import TeachersByTrunk
from benchmarks.gpu_day.work import Again, Kind, Work
from benchmarks.poster_loop import poster_throughput
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.static import compiling
from palenka_tune.distill.statistics import statistics_sample
from palenka_tune.models.export import load_model
from palenka_tune.teachers.online import online_source

PROFILED = 20  # steps
# dense bfloat16, TFLOP/s, as the makers state it
PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "4090": 165.0}


def measure(work: Work, kind: Kind) -> dict[str, Any]:
    """All figures of one kind of training."""
    single = work.loop(work.from_disk(kind))
    source = work.resident(kind)
    graphed = work.loop(source, capture=work.plan.capture)
    found: dict[str, Any] = {"first_step_s": work.seconds(lambda: graphed.run_until(1))}
    speeds = in_turn(work, {"one_by_one": single, "graph": graphed})
    found |= speeds
    found["gain"] = _ratio(speeds["graph"], speeds["one_by_one"])
    found |= {"flops_a_step": flops(work, single), "kernels_one_by_one": profiled(work, single).get("kernels_a_step")}
    found["peak_gib"] = work.peak_gib(lambda: graphed.run_until(graphed.step + 2))
    found |= profiled(work, graphed)
    tokens = work.plan.batch * work.train.shape[1]
    peak = peak_tflops()
    if peak is not None:
        done = found["flops_a_step"] * statistics.median(speeds["graph"]) / tokens
        found |= {"peak_tflops": peak, "share_of_peak": done / (peak * 1e12)}
    another = work.loop(source, seed=1, capture=work.plan.capture)
    found["next_trial_s"] = work.seconds(lambda: another.run_until(1))
    return found


def parts(work: Work) -> dict[str, Any]:
    """Plain training with one of the two remedies alone: compiled functions, or a graph."""
    compiled = in_turn(work, {"compiled_no_graph": work.loop(None, capture=Again)})
    compiling.switch_off("to see what a graph alone gives")
    return compiled | in_turn(work, {"graph_not_compiled": work.loop(None, capture=work.plan.capture)})


def online(work: Work) -> dict[str, Any]:
    """With both teachers run at every step: as the product does it, in a graph, and as the poster did."""
    place, device = work.place, work.plan.device
    store, sample = place.prepared.store, statistics_sample(work.train)
    source = online_source(place.teachers, store, sample, device=device)
    found: dict[str, Any] = dict(in_turn(work, {"one_by_one": work.loop(source)}))
    by_trunk = TeachersByTrunk(source, work.train.shape[1])
    graphed = work.loop(by_trunk, capture=work.plan.capture)
    found["graph_peak_gib"] = work.peak_gib(lambda: graphed.run_until(1))
    found |= in_turn(work, {"graph": graphed})
    student = place.sizes.build(place.sizes.student, seed=0, device=device)
    teachers = [load_model(teacher.folder, device=device)[0] for teacher in place.teachers]
    speed = poster_throughput(
        student, teachers, work.train.long(), work.plan.batch, work.plan.steps, warm_up=3, pad_id=store.pad_id
    )
    return found | {"poster_loop": [speed]}


def in_turn(work: Work, loops: dict[str, TrainingLoop]) -> dict[str, list[float]]:
    """Tokens/s of each, a figure a round."""
    found: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(work.plan.rounds):
        for name, loop in loops.items():
            found[name].append(work.speed(loop))
    return found


def flops(work: Work, loop: TrainingLoop) -> int:
    """Of one optimiser step: products of matrices and attention, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        loop.run_until(loop.step + 1)
    return int(counter.get_total_flops())


def peak_tflops() -> float | None:
    """Of the GPU's bfloat16 arithmetic, if it is known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def profiled(work: Work, loop: TrainingLoop) -> dict[str, Any]:
    """Kernels a step, the share of the time in which none runs, and what the CPU needs to launch a step."""
    if not work.plan.on_gpu:
        return {}
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as prof:
        loop.run_until(loop.step + PROFILED)
        torch.cuda.synchronize()
    spans, launches = [], []
    for event in prof.events():
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation:
            spans.append((event.time_range.start, event.time_range.end))
        elif event.name == "cudaGraphLaunch":
            launches.append(event.time_range.elapsed_us())
    spans.sort()
    busy, until = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return {
        "kernels_a_step": len(spans) / PROFILED,
        "idle_share": 1 - busy / (until - spans[0][0]),
        "launch_ms": statistics.median(launches) / 1e3 if launches else None,
    }


def _ratio(top: list[float], bottom: list[float]) -> list[float]:
    """Median, lowest, highest of the rounds."""
    each = [a / b for a, b in zip(top, bottom, strict=True)]
    return [statistics.median(each), min(each), max(each)]
