"""The dashboard and the alert rules in deploy/ use only metrics, labels and values that `/metrics` has."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from chat.metrics import EndedReply, timed
from chat.runtime import Runtime
from tests.servers import ROOT

ALERTS, DASHBOARD, PAGE = (
    ROOT / path for path in ("deploy/alerts.yml", "deploy/grafana.json", "docs/monitoring.md")
)
ADDED = {"instance", "job"}  # labels that Prometheus adds to each sample, and its own metric:
OWN = {"up": {(): {}}}
FUNCTIONS = {"sum", "max", "topk", "rate", "increase", "histogram_quantile"}
KEYWORDS = {"by", "and"}
TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*") | (?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])
    | (?P<name>[a-zA-Z_]\w*) | (?P<number>\d+(?:\.\d+)?) | (?P<operator>=~|==|[-+*/(){}=,<>]))""",
    re.VERBOSE,
)

type Samples = dict[str, dict[str, set[str]]]  # name -> label -> values


@pytest.fixture
def samples(client: Client, settings: Settings, runtime: Runtime) -> Samples:
    """What `/metrics` shows of a process that has done a bit of everything."""
    settings.METRICS_TOKEN = "x" * 40
    runtime.metrics.reply_ended(EndedReply("complete", "demo", "demo", 0, 1, 2, 1, 1, 1, 1, 1))
    timed("shared", test_the_page_describes_every_metric, lambda: None)()
    found: Samples = defaultdict(lambda: defaultdict(set))
    text = client.get("/metrics", headers={"Authorization": f"Bearer {'x' * 40}"}).content.decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name]  # without labels too
            for label, value in sample.labels.items():
                found[sample.name][label].add(value)
    return found


def tokens_of(expression: str) -> list[tuple[str, str]]:
    """Raises ValueError for what is none of the language's tokens in use here."""
    tokens, at = [], 0
    expression = expression.strip()
    while at < len(expression):
        if not (token := TOKEN.match(expression, at)):
            raise ValueError(f"unknown: {expression[at:]}")
        tokens.append((str(token.lastgroup), token[str(token.lastgroup)]))
        at = token.end()
    return tokens


def faults_of(expression: str, samples: Samples) -> Iterator[str]:
    """Yields what is wrong with the metrics, labels and values of an expression."""
    tokens = tokens_of(expression)
    words = "".join(text for _, text in tokens)
    if any(words.count(left) != words.count(right) for left, right in ("()", "{}")):
        yield "brackets"
    metrics: list[str] = []
    grouped: set[str] = set()
    selecting = grouping = False
    for number, (kind, text) in enumerate(tokens):
        after = tokens[number + 1][1] if number + 1 < len(tokens) else ""
        if text in "{}":
            selecting = text == "{"
        elif grouping:
            grouping = text != ")"
            grouped |= {text} if kind == "name" else set()
        elif text == "by":
            grouping = True
        elif selecting and kind == "name":
            operator, value = after, json.loads(tokens[number + 2][1])
            yield from _selector_faults(metrics[-1], text, operator, value, samples)
        elif kind == "name" and text in FUNCTIONS:
            if after not in {"(", "by"}:
                yield f"{text} without arguments"
        elif kind == "name" and text not in KEYWORDS:
            metrics.append(text)
            if text not in samples:
                yield f"no metric {text}"
    known = {label for metric in metrics for label in samples.get(metric, {})} | ADDED
    yield from (f"no label {label}" for label in grouped - known)
    if not metrics:
        yield "no metric at all"


def _selector_faults(metric: str, label: str, operator: str, value: str, samples: Samples) -> Iterator[str]:
    if label in ADDED:
        return
    values = samples.get(metric, {}).get(label, set())
    wanted = set(value.split("|")) if operator == "=~" else {value}
    yield from (f"{metric} has no {label}={one}" for one in wanted - values)


def alerts() -> list[dict[str, str]]:
    found = []
    for rule in ALERTS.read_text(encoding="utf-8").split("- alert: ")[1:]:
        expression = re.search(r"expr: (?:\|\n((?: {10}.*\n)+)|(.+)\n)", rule)
        assert expression, rule
        found.append({"name": rule.split()[0], "expr": expression[1] or expression[2], "rule": rule})
    return found


def targets(panel: Any) -> Iterator[tuple[str, str, str]]:
    """Yields the title, the expression and the legend of each graph of a dashboard."""
    for inner in panel.get("panels", ()):
        yield from targets(inner)
    for target in panel.get("targets", ()):
        yield panel["title"], target["expr"], target["legendFormat"]


GRAPHS = list(targets(json.loads(DASHBOARD.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("steady_nothing > 1", "no metric steady_nothing"),
        ('steady_replies_total{outcome="lost"}', "steady_replies_total has no outcome=lost"),
        ('steady_replies_total{colour="red"}', "steady_replies_total has no colour=red"),
        ("sum by (model) (steady_frame_delay_seconds_count)", "no label model"),
        ("rate(steady_replies[5m])", "no metric steady_replies"),
        ("sum(steady_running_replies", "brackets"),
        ("sum(1)", "no metric at all"),
    ],
)
def test_what_is_wrong_is_found(samples: Samples, expression: str, fault: str) -> None:
    assert list(faults_of(expression, samples)) == [fault]


def test_each_alert_uses_what_the_metrics_have(samples: Samples) -> None:
    faults = [(alert["name"], *faults_of(alert["expr"], {**samples, **OWN})) for alert in alerts()]
    assert [found for found in faults if len(found) > 1] == []
    assert len(faults) > 8


def test_each_alert_names_labels_that_its_expression_keeps(samples: Samples) -> None:
    for alert in alerts():
        grouped = re.findall(r"by \((.*?)\)", alert["expr"])
        kept = {label for labels in grouped for label in labels.split(", ")}
        if "sum" not in alert["expr"]:
            kept |= ADDED
        assert set(re.findall(r"\$labels\.(\w+)", alert["rule"])) <= kept, alert["name"]


@pytest.mark.parametrize(("title", "expression", "legend"), GRAPHS)
def test_each_graph_uses_what_the_metrics_have(
    samples: Samples, title: str, expression: str, legend: str
) -> None:
    assert list(faults_of(expression, samples)) == []
    grouped = {label for labels in re.findall(r"by \((.*?)\)", expression) for label in labels.split(", ")}
    assert set(re.findall(r"{{(\w+)}}", legend)) <= grouped | (ADDED if "sum" not in expression else set())


def test_the_page_describes_every_metric(samples: Samples) -> None:
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples if name.startswith("steady_")}
    described = re.findall(r"^\| `(steady_\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(described) == shown
    assert len(described) == len(shown)
