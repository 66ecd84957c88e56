"""What synthesis costs, against `cdk synth -q` of the same app in the same run.

    python -m tests.bench.synth [ROUNDS]

Each is a fresh process, as a user starts it; the three take turns, and medians are compared.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stacks.node import packaged_node

ROOT = Path(__file__).resolve().parents[2]
CDK_HOME = ROOT / "build" / "cdk-command-line"
CDK = CDK_HOME / "node_modules" / "aws-cdk" / "bin" / "cdk"
NPM = packaged_node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
ROUNDS = 7
OURS = """
from pathlib import Path
from stacks.settings import parse_deployment, read_document
from stacks.synth import synthesize
from stacks.template_cache import TemplateCache
spec = parse_deployment(read_document(Path("amazonei.toml")))
synthesize(spec, TemplateCache(Path("templates")))
"""


def main() -> None:
    """Print the two ratios, and the seconds behind them."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    install_cdk()
    seconds: dict[str, list[float]] = {"cdk synth -q": [], "cold": [], "repeated": []}
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name in ("app.py", "cdk.json", "amazonei.toml"):
            shutil.copyfile(ROOT / name, work / name)
        for _ in range(rounds):
            shutil.rmtree(work / "templates", ignore_errors=True)
            seconds["cdk synth -q"].append(timed(work, [str(packaged_node()), str(CDK), "synth", "-q"]))
            seconds["cold"].append(timed(work, [sys.executable, "-c", OURS]))
            seconds["repeated"].append(timed(work, [sys.executable, "-c", OURS]))
    report({name: statistics.median(values) for name, values in seconds.items()}, rounds)


def install_cdk() -> None:
    """Install the pinned command line of the CDK where the tests have it."""
    if CDK.exists():
        return
    CDK_HOME.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(ROOT / name, CDK_HOME / name)
    argv = [str(packaged_node()), str(NPM), "ci", "--no-audit", "--no-fund"]
    subprocess.run(argv, cwd=CDK_HOME, check=True, capture_output=True)


def timed(work: Path, argv: list[str]) -> float:
    """Return the seconds a process takes."""
    python = Path(sys.executable).parent
    environment = {
        "PATH": f"{python}:/usr/bin:/bin",
        "HOME": str(work),
        "PYTHONPATH": str(ROOT),
        "CI": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
    }
    start = time.perf_counter()
    subprocess.run(argv, cwd=work, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def report(medians: dict[str, float], rounds: int) -> None:
    """Write the medians and what was promised about them."""
    peer = medians["cdk synth -q"]
    lines = [f"{name:14} {value:7.3f} s  (median of {rounds})" for name, value in medians.items()]
    lines.append(f"repeated / cdk synth -q: {medians['repeated'] / peer:.3f}  (promised: at most 0.05)")
    lines.append(f"cold     / cdk synth -q: {medians['cold'] / peer:.3f}  (promised: at most 1.05)")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
