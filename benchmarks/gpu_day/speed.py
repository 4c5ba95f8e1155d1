"""How fast a student's steps are, one by one and as a graph, in turn; how much of the GPU they use."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import astuple

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_day.online import TeachersByTrunk
from benchmarks.gpu_day.work import Again, Kind, Work
from benchmarks.harness import ratio
from benchmarks.poster_loop import poster_throughput
from palenka_tune.distill.loop import TrainingLoop, resolve_precision
from palenka_tune.distill.static import compiling
from palenka_tune.distill.static.graph import Capture, Graph
from palenka_tune.distill.statistics import statistics_sample
from palenka_tune.models.export import load_model
from palenka_tune.teachers.online import online_source

REPLAYED, ONE_BY_ONE = 20, 2  # steps that are profiled
# dense bfloat16, TFLOP/s, as the makers state it
PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "4090": 165.0}


def measure(work: Work, kind: Kind) -> None:
    """All figures of one kind of training; beside `plain`, plain training in the same rounds."""
    capture, loops = work.plan.capture, {}
    if kind != "plain":
        loops["plain"] = work.loop(None, capture=capture)
        work.note(plain_first_step_s=work.first_step(loops["plain"])[0])
    source, launches = work.resident(kind), list[float]()
    loops["graph"] = work.loop(source, capture=clocked(capture, launches))
    seconds, gib = work.first_step(loops["graph"])
    work.note(first_step_s=seconds, peak_gib=gib if kind == "plain" else None)
    loops["one_by_one"] = work.loop(work.from_disk(kind))
    speeds = work.in_turn(loops)
    work.note(
        **speeds,
        gain=list(astuple(ratio(speeds["graph"], speeds["one_by_one"]))),
        launch_ms=1e3 * statistics.median(launches),
    )
    if kind != "plain":
        work.note(of_plain=list(astuple(ratio(speeds["graph"], speeds["plain"]))))
    another = work.loop(source, seed=1, capture=capture)
    work.note(next_trial_s=work.first_step(another)[0])
    tokens = work.plan.batch * work.train.shape[1]
    step_us = 1e6 * tokens / statistics.median(speeds["graph"])
    if work.plan.on_gpu:
        kernels, busy_us = profiled(loops["graph"], REPLAYED)
        work.note(kernels_a_step=kernels, busy_us_a_step=busy_us, idle_share=1 - busy_us / step_us)
        work.note(kernels_one_by_one=profiled(loops["one_by_one"], ONE_BY_ONE)[0])
    work.note(flops_a_step=flops(loops["one_by_one"]))
    peak = peak_tflops()
    if peak is not None:
        share = work.figures["flops_a_step"] / step_us / (peak * 1e6)
        work.note(peak_tflops=peak, share_of_peak=share)


def parts(work: Work) -> None:
    """Plain training with one of the two remedies alone: compiled functions, or a graph."""
    work.note(**work.in_turn({"compiled_no_graph": work.loop(None, capture=Again)}))
    compiling.switch_off("to see what a graph alone gives")
    work.note(**work.in_turn({"graph_not_compiled": work.loop(None, capture=work.plan.capture)}))


def online(work: Work) -> None:
    """With both teachers run at every step: as the product does it, as the poster did, and in the student's graph."""
    place, device = work.place, torch.device(work.plan.device)
    store, sample = place.prepared.store, statistics_sample(work.train)
    source = online_source(place.teachers, store, sample, device=device)
    for number, layers in enumerate(work.cache("exact").manifest["plan"]["layers"]):
        source.fit(number, map(int, layers))  # those of the loss, which need not be fitted in the first step
    work.note(**work.in_turn({"one_by_one": work.loop(source)}))
    for model in source.models:
        model.to(resolve_precision("auto", device))  # they do not train: converted once, not at every step
    by_trunk = TeachersByTrunk(source, work.train.shape[1])
    graphed = work.loop(by_trunk, capture=work.plan.capture)
    work.note(graph_first_step_s=work.first_step(graphed)[0])
    work.note(**work.in_turn({"graph": graphed}))
    del graphed, by_trunk, source
    student = place.sizes.build(place.sizes.student, seed=0, device=device)
    teachers = [load_model(teacher.folder, device=device)[0] for teacher in place.teachers]
    speed = poster_throughput(
        student, teachers, work.train.long(), work.plan.batch, work.plan.steps, warm_up=3, pad_id=store.pad_id
    )
    work.note(poster_loop=[speed])


def clocked(capture: Capture, launches: list[float]) -> Capture:
    """`capture`, with the seconds that the CPU needs for each replay written down."""

    class Clocked:
        def __init__(self, graph: Graph) -> None:
            self.graph = graph

        def replay(self) -> None:
            started = time.perf_counter()
            self.graph.replay()
            launches.append(time.perf_counter() - started)

    def made(body: Callable[[], None], warm_up: int) -> Graph:
        return Clocked(capture(body, warm_up))

    return made


def flops(loop: TrainingLoop) -> int:
    """Of one optimiser step: products of matrices and attention, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        loop.run_until(loop.step + 1)
    return int(counter.get_total_flops())


def peak_tflops() -> float | None:
    """Of the GPU's bfloat16 arithmetic, if it is known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def profiled(loop: TrainingLoop, steps: int) -> tuple[float, float]:
    """Kernels a step, and the microseconds of a step in which one runs."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as prof:
        loop.run_until(loop.step + steps)
        torch.cuda.synchronize()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in prof.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
    )
    busy, until = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return len(spans) / steps, busy / steps
