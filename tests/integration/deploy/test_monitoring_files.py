"""The files in deploy/monitoring, as Debian's Prometheus checks them."""

import json
import subprocess
from pathlib import Path

import yaml

MONITORING = Path(__file__).parents[3] / "deploy" / "monitoring"


def _promtool(*arguments: str | Path) -> str:
    ran = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_alert_rules_are_valid_and_fire_when_they_should() -> None:
    assert "SUCCESS" in _promtool("check", "rules", MONITORING / "shoal.rules.yml")
    _promtool("test", "rules", MONITORING / "shoal.rules.test.yml")


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    rules = yaml.safe_load((MONITORING / "shoal.rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    tests = yaml.safe_load((MONITORING / "shoal.rules.test.yml").read_text())["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each["exp_alerts"]}
    assert fired == alerts


def test_the_scrape_configuration_is_valid(tmp_path: Path) -> None:
    settings = (MONITORING / "prometheus.yml").read_text().replace("/etc/prometheus/shoal", str(tmp_path))
    (tmp_path / "prometheus.yml").write_text(settings)
    (tmp_path / "shoal.rules.yml").write_text((MONITORING / "shoal.rules.yml").read_text())
    for name, content in (("token", "t" * 32), ("ca.pem", ""), ("managers.json", "[]"), ("agents.json", "[]")):
        (tmp_path / name).write_text(content)
    _promtool("check", "config", tmp_path / "prometheus.yml")


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    panels = [each for each in dashboard["panels"] if each["type"] != "row"]
    assert len({each["id"] for each in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(target["expr"] for each in panels for target in each["targets"])
    assert dashboard["templating"]["list"][0]["query"] == "prometheus"
