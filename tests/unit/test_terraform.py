"""How Terraform is found and called; what it says of `terraform/` itself is `make terraform-test`."""

import re
from pathlib import Path

import pytest

from scripts import terraform


@pytest.mark.parametrize("place", ["", "plugins", "providers/mirror"])
def test_the_mirror_is_the_folder_of_the_registry(tmp_path: Path, place: str) -> None:
    registry = tmp_path / "opt" / place / "registry.terraform.io"
    registry.mkdir(parents=True)
    assert terraform.provider_mirror((tmp_path / "none", tmp_path / "opt")) == registry.parent


def test_without_a_mirror_providers_come_from_the_registry(tmp_path: Path) -> None:
    assert terraform.provider_mirror((tmp_path,)) is None


def test_a_configuration_that_is_not_there_is_not_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "none"))
    assert "TF_CLI_CONFIG_FILE" not in terraform.environment()


def test_a_configuration_that_is_there_decides_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TF_CLI_ARGS_init", raising=False)
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path))
    assert terraform.environment()["TF_CLI_CONFIG_FILE"] == str(tmp_path)
    assert "TF_CLI_ARGS_init" not in terraform.environment()


@pytest.mark.parametrize(("ci", "exit_code"), [("", 0), ("true", 1)])
def test_what_cannot_be_checked_is_said_and_fails_in_ci_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, ci: str, exit_code: int
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    assert terraform.main(["check"]) == exit_code
    assert "terraform/ is not checked" in capfd.readouterr().err
    assert terraform.main(["apply"]) == 1


def test_the_example_of_variables_sets_what_there_is() -> None:
    declared = set(re.findall(r'^variable "(\w+)"', (terraform.FOLDER / "variables.tf").read_text(), re.MULTILINE))
    example = (terraform.FOLDER / "terraform.tfvars.example").read_text()
    assert set(re.findall(r"^(?:# )?(\w+) += ", example, re.MULTILINE)) <= declared


def test_no_variable_is_without_use() -> None:
    files = [path.read_text() for path in terraform.FOLDER.glob("*.tf")]
    declared = set(re.findall(r'^variable "(\w+)"', (terraform.FOLDER / "variables.tf").read_text(), re.MULTILINE))
    validations = re.compile(r"validation \{.*?\n  \}\n", re.DOTALL)
    assert declared == set(re.findall(r"\bvar\.(\w+)", "\n".join(validations.sub("", text) for text in files)))
