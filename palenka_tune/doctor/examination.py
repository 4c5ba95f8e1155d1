"""The whole examination: facts are measured side by side, each within a time limit, then every check judges them.

`examine(config, options)` returns a `Report`; `palenka_tune.commands.doctor` prints it. Nothing is left behind: no file
in the storage, no table in a database, no Ray that was not there.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from palenka_tune.cluster.session import protect
from palenka_tune.data.prepare import glance
from palenka_tune.doctor.checks import CHECKS
from palenka_tune.doctor.checks.finding import Finding
from palenka_tune.doctor.facts import Facts, access, nodes, probe, services, storage
from palenka_tune.doctor.facts.needs import needs_of
from palenka_tune.errors import UserError
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.tracking.store import redact
from palenka_tune.words import plural

MARKS = {"ok": "✓", "warning": "!", "fault": "✗"}


@dataclass(frozen=True)
class Report:
    """The findings by check; `unchecked` are the checks that had no facts to judge."""

    subject: str
    findings: dict[str, Finding]
    unchecked: tuple[str, ...]
    seconds: float

    @property
    def healthy(self) -> bool:
        return self.count("fault") == 0

    def count(self, state: str) -> int:
        return sum(finding.state == state for finding in self.findings.values())

    def lines(self, *, bad_only: bool = False) -> list[str]:
        """For a person: a mark, the check, what was found, and the fix below it; `bad_only` leaves out what is good."""
        width = max(map(len, CHECKS))
        lines = [] if bad_only else [f"doctor: {self.subject}"]
        for name, finding in self.findings.items():
            if bad_only and finding.state == "ok":
                continue
            lines.append(f"{MARKS[finding.state]} {name:<{width}}  {finding.found}")
            if finding.fix:
                lines.append(f"  {'':<{width}}  → {finding.fix}")
        if self.unchecked:
            lines.append(f"not checked, as no node could be asked: {', '.join(self.unchecked)}")
        lines.append(
            f"{plural(len(self.findings), 'check')} in {self.seconds:.0f} s: {self.count('ok')} good, "
            f"{plural(self.count('warning'), 'warning')}, {plural(self.count('fault'), 'fault')}"
        )
        return lines

    def as_json(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "subject": self.subject,
            "healthy": self.healthy,
            "seconds": round(self.seconds, 1),
            "findings": [{"check": name, **dataclasses.asdict(finding)} for name, finding in self.findings.items()],
            "unchecked": list(self.unchecked),
        }


def examine(config: SearchConfig, options: SearchOptions) -> Report:
    """Measure and judge everything that the search `config` would need; raises `UserError` for input that cannot
    work."""
    started = time.monotonic()
    if options.gpus_per_trial is not None and not 0 <= options.gpus_per_trial <= 1:
        raise UserError(f"--gpus-per-trial is {options.gpus_per_trial:g}; give 0 to 1, a share of one GPU")
    if options.concurrent is not None and options.concurrent < 1:
        raise UserError(f"--concurrent is {options.concurrent}; it must be 1 or more")
    access.check_address(options.address)
    services.study_url(options.study_storage)
    notes = glance(config.experiment.data)  # the search reads every byte; that takes longer than all of this
    needs = dataclasses.replace(needs_of(config, options), data=notes)
    protect(options.address)
    with storage.marked(options.storage) as mark:
        way = access.reach(options.address)
        asking = None if way.refused else nodes.ask(options.address, mark.storage.path, str(mark.work), mark.name)
        study, mlflow = services.study(options.study_storage, mark.work), services.mlflow(mark.work)
        survey = asking() if asking else nodes.Survey()
    if survey.error:
        way = dataclasses.replace(way, refused=survey.error)
    facts = Facts(needs, way, survey.nodes, mark.storage, mark.content, study, mlflow, probe.versions(), survey.free)
    where = f"the Ray cluster at {options.address}" if options.address else "Ray on this machine"
    return judge(facts, f"search {config.space_name}, scale {config.experiment.scale}, on {where}", started)


def judge(facts: Facts, subject: str, started: float) -> Report:
    """Every check's finding, without passwords."""
    judged = {name: check(facts) for name, check in CHECKS.items()}
    findings = {
        name: Finding(finding.state, redact(finding.found), redact(finding.fix))
        for name, finding in judged.items()
        if finding is not None
    }
    unchecked = tuple(name for name in judged if name not in findings)
    return Report(subject, findings, unchecked, time.monotonic() - started)
