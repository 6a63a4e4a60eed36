"""SECURITY 16: whoever wants a patient's object by its id has to say who asks.

Looked for in the source: a function that is given an id or a secret and gives back a patient or one
of their things must take the caller; and no view looks one up without a scope.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ["accounts", "appointments", "records", "chat", "clinic"]
# What belongs to a patient, and may be known to few.
PERSONAL = {
    "Patient",
    "Appointment",
    "CareRelation",
    "Referral",
    "Conversation",
    "Encounter",
    "Note",
    "Allergy",
    "Medication",
    "Prescription",
    "Condition",
    "Observation",
    "Immunization",
    "Procedure",
    "Document",
    "DeletionRequest",
    "Attachment",
    "Event",
}
IDS = {"public_id", "pk", "id", "uuid", "object_id", "reference", "secret", "slug"}
CALLERS = {"by", "user", "request", "account", "identity", "sheet", "self"}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if "migrations" not in path.parts and "sampling" not in path.name:
                yield path, ast.parse(path.read_text())


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    arguments = function.args
    return {each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}


def returned(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    if function.returns is None:
        return set()
    return {node.id for node in ast.walk(function.returns) if isinstance(node, ast.Name)}


def test_s16_what_gives_a_patients_object_for_an_id_takes_the_caller() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path, tree in modules()
        for function in functions(tree)
        if returned(function) & PERSONAL
        and parameters(function) & IDS
        and not parameters(function) & CALLERS
    ]
    assert found == []


def is_view(path: Path) -> bool:
    name = path.name
    return name.startswith("views") or name.endswith(("_page.py", "_views.py", "views.py"))


def lookups(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lookups that begin at a whole table: ``Patient.objects.get(public_id=…)`` and the like."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)):
            continue
        names = {each.arg for each in node.keywords if each.arg and not is_scoped(each)}
        if not any(name.split("__")[0] in IDS or name.endswith("public_id") for name in names):
            continue
        text = ast.unparse(node)
        beginnings = tuple(
            begin
            for model in PERSONAL
            for begin in (
                f"{model}.objects.get(",
                f"{model}.objects.filter(",
                f"get_object_or_404({model},",
                f"get_object_or_404({model}.objects,",
                f"get_object_or_404({model}.objects.all()",
            )
        )
        if text.startswith(beginnings):
            yield node.lineno, text[:90]


def is_scoped(keyword: ast.keyword) -> bool:
    """``pk__in=`` another query's values: that one is looked at where it begins."""
    value = ast.unparse(keyword.value)
    return bool(keyword.arg) and str(keyword.arg).endswith("__in") and ".values(" in value


def test_s16_no_view_looks_anything_of_a_patient_up_without_a_scope() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path, tree in modules()
        if is_view(path)
        for line, text in lookups(tree)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "x = Patient.objects.get(public_id=public_id)",
        "x = Note.objects.filter(pk=pk).first()",
        "x = get_object_or_404(Appointment, public_id=i)",
        "x = Patient.objects.filter(pk__in=request.POST.getlist('chosen'))",
        "x = get_object_or_404(Document.objects.all(), encounter__public_id=i)",
    ],
)
def test_the_look_finds_what_it_is_for(source: str) -> None:
    assert list(lookups(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "x = Appointment.objects.visible_to(user).get(public_id=i)",
        "x = get_object_or_404(readable_by(user, now), public_id=i)",
        "x = Patient.objects.filter(account=user).first()",
    ],
)
def test_a_scoped_lookup_is_none_of_these(source: str) -> None:
    assert not list(lookups(ast.parse(source)))
