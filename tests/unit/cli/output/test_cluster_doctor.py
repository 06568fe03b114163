"""Rows and summary of `shoal cluster doctor`."""

from cli.commands.cluster_doctor import check_rows, summary
from shoal.api.v1.diagnosis_pb2 import DiagnosedPart
from shoal.host_checks.findings import failed, passed, warning


def test_rows_name_the_part_and_the_summary_counts_results() -> None:
    cluster = DiagnosedPart(kind=DiagnosedPart.CLUSTER, id="c1", checks=[passed("leader", "manager m1 leads")])
    checks = [failed("clock", "9 s", "run chrony"), warning("MTU", "1400 bytes", "raise it")]
    node = DiagnosedPart(kind=DiagnosedPart.NODE, id="n1", name="h1", checks=checks)
    rows = list(check_rows([cluster, node]))
    assert [row["part"] for row in rows] == ["cluster", "node h1", "node h1"]
    assert [(row["check"], row["result"], row["action"]) for row in rows[1:]] == [
        ("clock", "FAILED", "run chrony"),
        ("MTU", "WARNING", "raise it"),
    ]
    assert summary(rows) == "3 checks: 1 OK, 1 warnings, 1 failed"
