#!/usr/bin/env python3
"""Builds PostgreSQL with its assertions on, below target/: `make asserts` runs the suite against it.

    asserts.py --pg 18          target/asserts/18: --enable-cassert, and with it CLOBBER_FREED_MEMORY and MEMORY_CONTEXT_CHECKING

The source is Debian's (debian.py; pins-sources.txt has the tarballs that its lists no longer name). It needs gcc, make and perl;
flex and bison, which the sources of 17 and 18 need, come from Debian's packages, unpacked beside it. Nothing is installed.
No readline, no ICU, no OpenSSL, no zlib: the tests do not use them. XML they do: the headers are Debian's, unpacked; libxml2 itself
is there wherever the PostgreSQL that `make setup` fetches runs. A second run does nothing.
"""

import argparse
import os
import shutil
import sys

import debian
import neighbours
from setup import ROOT, TARGET, SetupError, finish, is_unpacked, one_at_a_time, say, scratch_folder

FOLDER = os.path.join(TARGET, "asserts")
RECIPE = "2"
# Debian never had 16 in a release, so its archive has no source of it.
RELEASE = neighbours.RELEASE
# The sources of 15 have the parsers' C files; those of 17 and 18 do not.
WITHOUT_PARSERS = ("17", "18")
OPTIONS = ["--enable-cassert", "--enable-debug", "--without-readline", "--without-icu", "--without-zlib", "--with-libxml"]
# What slows the build and the server down, and adds nothing to what the assertions see.
CFLAGS = "-O1 -g1 -fno-omit-frame-pointer -w"


def parsers(archive, folder):
    """flex, bison and m4 in a folder of their own; the environment in which they find themselves."""
    os.makedirs(folder)
    archive.unpack(["flex", "bison", "m4", "libfl2", "libsigsegv2"], neighbours.OLDEST, folder)
    usr = os.path.join(folder, "usr")
    library = os.path.join(usr, "lib", "x86_64-linux-gnu")
    return {
        "PATH": os.path.join(usr, "bin") + os.pathsep + os.environ["PATH"],
        "BISON_PKGDATADIR": os.path.join(usr, "share", "bison"),
        "M4": os.path.join(usr, "bin", "m4"),
        "LD_LIBRARY_PATH": library,
    }


def xml(archive, folder):
    """Where configure finds libxml2."""
    os.makedirs(folder)
    archive.unpack(["libxml2-dev", "libicu-dev"], neighbours.OLDEST, folder)
    include = os.path.join(folder, "usr", "include")
    return {"XML2_CFLAGS": "-I%s -I%s" % (os.path.join(include, "libxml2"), include), "XML2_LIBS": "-l:libxml2.so.2"}


def build(archive, major, scratch, tree):
    """Configures, compiles and installs the server and its extensions into `tree`, which may be moved afterwards."""
    environment = parsers(archive, os.path.join(scratch, "tools")) if major in WITHOUT_PARSERS else {}
    environment.update(xml(archive, os.path.join(scratch, "xml")))
    folder = neighbours.source(archive, "postgresql-" + major, RELEASE[major], scratch)
    say("building PostgreSQL %s with assertions: this takes minutes" % major)
    options = OPTIONS + ["--prefix=" + tree, "CFLAGS=" + CFLAGS]
    neighbours.run(["./configure", "--quiet"] + options, folder, **environment)
    jobs = "-j%d" % (os.cpu_count() or 1)
    for part in (".", "contrib"):
        neighbours.run(["make", "--silent", jobs, "-C", part, "install"], folder, **environment)
    regress = os.path.join(folder, "src", "test", "regress")
    neighbours.run(["make", "--silent", "-C", regress, "pg_regress"], folder, **environment)


def ensure(major):
    folder = os.path.join(FOLDER, major)
    if is_unpacked(folder, RECIPE):
        return False
    if not debian.is_debian():
        raise SetupError("this system is no Debian with apt: there is no source of PostgreSQL to fetch")
    if major not in RELEASE:
        raise SetupError("Debian has no source of PostgreSQL %s" % major)
    archive = debian.Archive(os.path.join(FOLDER, "apt"))
    with scratch_folder(folder) as scratch:
        tree = os.path.join(scratch, "tree")
        os.makedirs(tree)
        build(archive, major, scratch, tree)
        finish(tree, folder, RECIPE)
    shutil.rmtree(archive.folder, ignore_errors=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pg", metavar="MAJOR", required=True, help="15, 17 or 18")
    major = parser.parse_args().pg
    with one_at_a_time():
        is_new = ensure(major)
    where = os.path.relpath(os.path.join(FOLDER, major), ROOT)
    say("PostgreSQL %s with assertions in %s: %s" % (major, where, "ready" if is_new else "nothing to do"))


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit("setup: %s" % error)
