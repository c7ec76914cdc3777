"""Where peers run: in this environment, in one of their own, or on a JVM. All under `.bench/`."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DIRECTORY: Final = ROOT / ".bench"
JAVA: Final = ROOT / "benchmarks" / "peers" / "java"
POM: Final = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamjobs</groupId><artifactId>benchmark-peer</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""


class CannotRun(Exception):
    """A peer cannot run on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Here:
    """The environment of streamjobs itself."""

    def command(self, module: str) -> list[str]:
        return [sys.executable, "-m", module]


@dataclass(frozen=True)
class Packages:
    """A virtual environment with these packages of PyPI, made when it is first needed.

    Args:
        name: its directory.
        requirements: what pip installs.
        python: a program's name; that which runs this one if left out.
    """

    name: str
    requirements: tuple[str, ...]
    python: str = sys.executable

    def command(self, module: str) -> list[str]:
        """How a module of this repository is run in it.

        Raises:
            CannotRun: no such Python, or pip failed.
        """
        home = DIRECTORY / f"{self.name}-{_digest(*self.requirements)}"
        if not (home / "installed").exists():
            python = _python(self.python)
            shutil.rmtree(home, ignore_errors=True)
            _run([python, "-m", "venv", str(home)])
            _run([str(home / "bin" / "pip"), "install", "--quiet", *self.requirements])
            (home / "installed").touch()
        return [str(home / "bin" / "python"), "-m", module]


@dataclass(frozen=True)
class Jars:
    """Jars of Maven Central, fetched when they are first needed, and a program compiled with them.

    Args:
        name: their directory.
        artifacts: group:artifact:version.
        program: a class of `benchmarks/peers/java`, beside `Run`.
    """

    name: str
    artifacts: tuple[str, ...]
    program: str

    def command(self, _module: str) -> list[str]:
        """How its program is run.

        Raises:
            CannotRun: no JDK, no Maven, or they failed.
        """
        java, javac = (_program(name, "a JDK, 17 or later") for name in ("java", "javac"))
        home = DIRECTORY / f"{self.name}-{_digest(*self.artifacts)}"
        if not (home / "installed").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            (home / "pom.xml").write_text(POM.format(dependencies=self._dependencies()))
            _run([
                _program("mvn", "Maven"), "-q", "-B", "-f", str(home / "pom.xml"),
                "dependency:copy-dependencies", f"-DoutputDirectory={home / 'jars'}",
            ])  # fmt: skip
            (home / "installed").touch()
        sources = [JAVA / f"{name}.java" for name in ("Run", self.program)]
        classes = home / f"classes-{_digest(*(each.read_text() for each in sources))}"
        if not classes.exists():
            jars = f"{home / 'jars'}/*"
            _run([javac, "-proc:none", "-cp", jars, "-d", str(classes), *map(str, sources)])
        return [java, "-cp", f"{classes}:{home / 'jars'}/*", self.program]

    def _dependencies(self) -> str:
        return "".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version></dependency>"
            for group, artifact, version in (each.split(":") for each in self.artifacts)
        )


def _python(name: str) -> str:
    """One on PATH that answers, or one of pyenv's."""
    for candidate in (
        shutil.which(name),
        *sorted(Path.home().glob(f".pyenv/versions/*/bin/{name}")),
    ):
        if candidate and not subprocess.run([candidate, "-V"], capture_output=True).returncode:  # noqa: PLW1510
            return str(candidate)
    raise CannotRun(f"no {name} on PATH or among pyenv's versions")


def _program(name: str, what: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise CannotRun(f"no `{name}` on PATH: install {what}")
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-2000:]}")


def _digest(*words: str) -> str:
    return sha256(" ".join(words).encode()).hexdigest()[:8]
