"""contrib/grafana-dashboard.json and docs/operations.md name exactly the existing metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import Service

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "contrib" / "grafana-dashboard.json").read_text("utf-8")
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
NAME = r"\b(?:asgard|process|python)_[a-z_]+\b"


def documented() -> set[str]:
    """The names in the table of metrics; those of histograms without a suffix."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    table = text.partition("## Monitoring")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return set(re.findall(NAME, "\n".join(first_cells)))


def expressions() -> list[str]:
    """Every query of the dashboard, including those of its variables."""
    variables = [
        one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one
    ]
    return variables + [target["expr"] for panel in PANELS for target in panel["targets"]]


def shown() -> set[str]:
    names = set(re.findall(NAME, "\n".join(expressions())))
    return {re.sub(r"_bucket$", "", name) for name in names}


@pytest.mark.service
async def test_each_metric_is_served_documented_and_shown(service: Service) -> None:
    # counters with labels exist from their first use
    await service.finished(await service.submit("print('x')"))
    _, text = await service.get("/metrics")
    families = {
        family.name: family.type
        for family in text_string_to_metric_families(text)
        if not family.documentation.startswith("Deprecated: ")
    }
    suffixes = {"counter": "_total", "info": "_info"}
    served = {
        name.removesuffix(suffixes.get(kind, "")) + suffixes.get(kind, "")
        for name, kind in families.items()
        if not name.endswith("_created")  # beside each counter
    }
    assert served == documented()
    assert shown() <= served
    # the dashboard shows every metric of Asgard
    assert {name for name in served if name.startswith("asgard_")} <= shown()


def test_the_dashboard_imports_with_any_data_source() -> None:
    assert DASHBOARD["id"] is None
    assert DASHBOARD["schemaVersion"] >= 39
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for panel in PANELS:
        for holder in (panel, *panel["targets"]):
            assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel
    for expression in expressions()[1:]:
        assert 'instance=~"$instance"' in expression


def test_panels_do_not_overlap() -> None:
    places = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in places, panel["title"]
                places.add((x, y))
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
