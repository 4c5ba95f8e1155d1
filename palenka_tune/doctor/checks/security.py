"""Checks of who else may use the cluster: Ray's token and its dashboard."""

from __future__ import annotations

from palenka_tune.doctor.checks.finding import Finding, fault, good, listed, warning
from palenka_tune.doctor.facts import Facts


def token(facts: Facts) -> Finding:
    """Whether a client without a token may run code on the cluster (CVE-2023-48022)."""
    if facts.access.open is None:
        return warning(
            "it is not known whether Ray asks for a token", "see that RAY_AUTH_MODE=token is set on all nodes"
        )
    if not facts.access.open:
        return good("Ray lets in nobody without the token")
    fix = "make a token (ray get-auth-token --generate), set RAY_AUTH_MODE=token and it on every node, and restart Ray"
    beyond = [
        f"{each.process} on {name} at {each.address}:{each.port}"
        for name, probe in facts.probes.items()
        for each in probe.listeners
        if each.beyond_loopback and each.process != "dashboard"
    ]
    if not beyond:
        return warning("Ray asks for no token: every user of this machine can run anything as you", fix)
    reach = f"and listens beyond loopback ({listed(beyond, 2)})"
    return fault(f"Ray asks for no token {reach}: whoever reaches it can run anything", fix)


def dashboard(facts: Facts) -> Finding:
    """Whether the dashboard can be reached from other machines."""
    dashboards = [
        (name, probe.kubernetes, each)
        for name, probe in facts.probes.items()
        for each in probe.listeners
        if each.process == "dashboard"
    ]
    for name, in_pod, each in dashboards:
        if each.beyond_loopback:
            where = f"the dashboard on {name} listens at {each.address}:{each.port}"
            if in_pod and facts.access.open is False:
                return good(f"{where}, in a pod and behind the token")
            return fault(
                f"{where}, beyond loopback",
                "start the head with --dashboard-host=127.0.0.1 and reach it by SSH (ssh -L 8265:127.0.0.1:8265 HEAD)",
            )
    return good("the dashboard listens on loopback only" if dashboards else "there is no dashboard")
