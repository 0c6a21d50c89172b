"""Files of a published crate, read through cargo; nothing is built, and no Cargo.lock knows of it.

cargo keeps what it fetched in its own folder, as it does with all that is built from.
"""

import glob
import hashlib
import os
import subprocess
import tarfile

from applications import Unavailable
from setup import SOURCE_PINS, extract_tar, read_pins, say


def unpack(crate, only, into):
    """The folder `only` of a pinned crate (`name-version`), below `into`; its path."""
    (checksum,) = [hash for name, hash in (pin.split(" --hash=sha256:") for pin in read_pins(SOURCE_PINS))
                   if name == crate + ".crate"]
    with tarfile.open(cached(crate, checksum) or fetched(crate, checksum)) as packed:
        extract_tar(packed, into, lambda name: name.startswith("%s/%s/" % (crate, only)))
    return os.path.join(into, crate, only)


def cached(crate, checksum):
    """Where cargo has it; empty when it has it not, or another."""
    home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    for path in glob.glob(os.path.join(home, "registry", "cache", "*", crate + ".crate")):
        with open(path, "rb") as packed:
            if hashlib.sha256(packed.read()).hexdigest() == checksum:
                return path
    return ""


def fetched(crate, checksum):
    say("fetching the crate " + crate)
    # What it prints is not asked for: to print it, cargo fetches that crate and none that it needs. Not in a workspace, whose
    # versions it would choose.
    command = ["cargo", "info", "--quiet", "--registry", "crates-io", "@".join(crate.rsplit("-", 1))]
    try:
        done = subprocess.run(command, cwd=os.sep, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
    except FileNotFoundError:
        raise Unavailable("there is no cargo to fetch the crate %s with" % crate) from None
    path = cached(crate, checksum)
    if not path:
        raise Unavailable("cargo could not fetch the crate %s with the pinned checksum: %s" % (
            crate, " ".join(done.stdout.split())[-300:] if done.returncode else "another file came"))
    return path
