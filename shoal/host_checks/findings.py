"""Makes the results of checks. Pure."""

from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck

MAX_TEXT = 500
"""Characters of what a host says of itself."""


def passed(name: str, found: str) -> DiagnosisCheck:
    """All is well."""
    return DiagnosisCheck(name=name, result=DiagnosisCheck.OK, found=found[:MAX_TEXT])


def warning(name: str, found: str, action: str) -> DiagnosisCheck:
    """It works, and may not tomorrow."""
    return DiagnosisCheck(name=name, result=DiagnosisCheck.WARNING, found=found[:MAX_TEXT], action=action)


def failed(name: str, found: str, action: str) -> DiagnosisCheck:
    """It does not work."""
    return DiagnosisCheck(name=name, result=DiagnosisCheck.FAILED, found=found[:MAX_TEXT], action=action)
