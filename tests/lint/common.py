"""What the lint checks share: the project's files, and how a finding is told."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def files(*patterns):
    """The project's files: those that git tracks or would, as paths from the root."""
    output = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z", "--cached", "--others",
         "--exclude-standard", "--", *patterns], stdout=subprocess.PIPE, check=True).stdout
    names = sorted(set(output.decode().split("\0")) - {""})
    return [pathlib.Path(name) for name in names if (ROOT / name).is_file()]


def in_parallel(function, items):
    """Calls function(item) on every core; the results, in the order of the items."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def command(arguments):
    """Runs a command in the root; returns its exit status and all that it printed."""
    done = subprocess.run(arguments, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def finish(problems, checked, what):
    """Ends the check: each problem is a line "FILE:LINE: what is wrong; what to do"."""
    for problem in problems:
        print(problem)
    if not checked:
        sys.exit(f"no {what} found to check, which cannot be right")
    count = sum(not problem.startswith(" ") for problem in problems)  # the rest is detail
    print(f"{checked} {what}, {count} problems")
    sys.exit(1 if problems else 0)
