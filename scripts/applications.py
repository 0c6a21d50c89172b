"""What applications are made with, for the tests of legitimate work: ORMs of Python and Ruby, and a browser.

Each function fills `tree`; neighbours.py moves it to target/neighbours/ once for all versions of PostgreSQL. In each there is a
program (`python`, `ruby`, `chromium`) that finds its libraries wherever the tree lies.
"""

import glob
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import zipfile

from setup import ROOT, SetupError, pip_command, say

PYTHON_PINS = os.path.join(ROOT, "scripts", "pins-python.txt")
PYTHONS = ((3, 11), (3, 14))
# The oldest C library of the pinned wheels.
WHEELS = {"x86_64": "manylinux_2_17_x86_64", "aarch64": "manylinux_2_28_aarch64"}
RUBY_PACKAGES = ("ruby3.1", "libruby3.1", "ruby-rubygems", "rubygems-integration", "ruby-activerecord", "ruby-activemodel",
                 "ruby-activesupport", "ruby-i18n", "ruby-concurrent", "ruby-tzinfo", "ruby-zeitwerk", "ruby-pg",
                 "libyaml-0-2", "libffi8", "libgmp10", "libcrypt1", "zlib1g")
BROWSER = "chromium-headless-shell"
# The C library is the machine's; the others draw on screens that there are none of.
NOT_FOR_BROWSER = ("libc6", "libllvm15", "libz3-4", "libgl1-mesa-dri", "libglapi-mesa", "libicu72", "libxml2")
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
"""
# What a headless browser is started with; about:blank shows that it can.
BROWSER_CHECK = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                 "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--dump-dom")
# $here is the tree.
LAUNCHER = '#!/bin/sh\nhere=$(cd "$(dirname "$0")" && pwd)\n%s\n'


class Unavailable(Exception):
    """Cannot be had here; the text says why."""


def launcher(tree, name, text):
    path = os.path.join(tree, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(LAUNCHER % text.strip())
    os.chmod(path, 0o755)


def check_starts(tree, command):
    """A program that cannot run on this machine is none: the tests that need it are skipped."""
    try:
        done = subprocess.run(command, cwd=tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise Unavailable("%s does not end" % command[0]) from None
    if done.returncode != 0:
        raise Unavailable("%s does not run here: %s" % (command[0], " ".join(done.stdout.split())[-500:]))


def why_no_python_orms():
    """Why the pinned wheels do not fit this Python; empty when they do."""
    if sys.implementation.name != "cpython" or not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return "scripts/pins-python.txt has wheels of psycopg for CPython %d.%d to %d.%d; this is %s %s" % (
            PYTHONS[0] + PYTHONS[1] + (platform.python_implementation(), platform.python_version()))
    if platform.machine() not in WHEELS:
        return "scripts/pins-python.txt has no wheels of psycopg for %s" % platform.machine()
    return ""


def python_recipe():
    """Another Python, or other pins, are fetched anew."""
    with open(PYTHON_PINS, "rb") as pins:
        return "%s %s %s" % (sys.executable, platform.python_version(), hashlib.sha256(pins.read()).hexdigest())


def python_orms(archive, scratch, tree):
    """Django and SQLAlchemy with psycopg, and the Python that runs this."""
    del archive
    say("fetching Django, SQLAlchemy and psycopg")
    command = pip_command() + [
        "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
        "--python-version", "%d.%d" % sys.version_info[:2], "--implementation", "cp",
        "--platform", WHEELS[platform.machine()], "--require-hashes", "-r", PYTHON_PINS, "-d", scratch]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
        raise SetupError("could not fetch scripts/pins-python.txt; is the package index reachable (pip config list)?")
    lib = os.path.join(tree, "lib")
    for wheel in glob.glob(os.path.join(scratch, "*.whl")):
        with zipfile.ZipFile(wheel) as files:
            files.extractall(lib, [name for name in files.namelist()
                                   if "/locale/en/" in name or not name.endswith((".po", ".mo"))])
    # Now, since whoever runs the tests may not write here.
    subprocess.run([sys.executable, "-m", "compileall", "-q", lib], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    launcher(tree, "python", 'PYTHONPATH="$here/lib" PYTHONNOUSERSITE=1 exec %s "$@"' % shlex.quote(sys.executable))
    check_starts(tree, ["./python", "-c", "import django.template, sqlalchemy, psycopg; psycopg.pq.__impl__ == 'binary' or exit(1)"])


def active_record(archive, scratch, tree):
    """Ruby with ActiveRecord and pg, as Debian 12 has them; libpq is the embedded PostgreSQL's, by LD_LIBRARY_PATH."""
    del scratch
    archive.unpack(RUBY_PACKAGES, "bookworm", tree)
    for part in ("usr/share/doc", "usr/share/man", "usr/share/ri"):
        shutil.rmtree(os.path.join(tree, part), ignore_errors=True)
    launcher(tree, "ruby", """
arch=$(basename "$here"/usr/lib/*-linux-gnu)
lib=$here/usr/lib/ruby
RUBYLIB=$lib/vendor_ruby:$here/usr/lib/$arch/ruby/vendor_ruby/3.1.0:$lib/3.1.0:$here/usr/lib/$arch/ruby/3.1.0
GEM_HOME=$here/usr/share/rubygems-integration/all
GEM_PATH=$GEM_HOME:$here/usr/share/rubygems-integration/3.1.0:$lib/gems/3.1.0
LD_LIBRARY_PATH=$here/usr/lib/$arch:$here/lib/$arch${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUBYLIB GEM_HOME GEM_PATH LD_LIBRARY_PATH
exec "$here/usr/bin/ruby3.1" "$@"
""")
    check_starts(tree, ["./ruby", "-e", "require 'active_record'"])


def chromium(archive, scratch, tree):
    """Debian 12's headless Chromium with the libraries and the one font that it needs."""
    wanted = [name for name in archive.closure(BROWSER, "bookworm")
              if name in (BROWSER, "chromium-common", "fonts-dejavu-core") or name.startswith(("lib", "zlib"))]
    archive.unpack([name for name in wanted if name not in NOT_FOR_BROWSER], "bookworm", tree)
    for debugging in glob.glob(os.path.join(tree, "usr/lib/chromium/libVk*")):
        os.remove(debugging)
    for part in ("doc", "locale", "man", "lintian", "X11", "icons", "alsa", "drirc.d"):
        shutil.rmtree(os.path.join(tree, "usr/share", part), ignore_errors=True)
    with open(os.path.join(tree, "fonts.conf"), "w", encoding="utf-8") as out:
        out.write(FONTS)
    launcher(tree, "chromium", """
lib=$(echo "$here"/usr/lib/*-linux-gnu)
export FONTCONFIG_FILE="$here/fonts.conf" XDG_CACHE_HOME="$here/cache"
export LD_LIBRARY_PATH="$lib:$lib/pulseaudio:$here/lib/$(basename "$lib")"
exec "$here/usr/lib/chromium/%s" "$@"
""" % BROWSER)
    check_starts(tree, ["./chromium", *BROWSER_CHECK, "--user-data-dir=" + os.path.join(scratch, "profile"), "about:blank"])
