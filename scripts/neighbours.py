#!/usr/bin/env python3
"""Brings what the tests run beside the extension below target/: poolers, other extensions, PostgreSQL's own tests, ORMs.

    neighbours.py --pg 18       PgBouncer of Debian 12 and a newer one, pgaudit, plpgsql_check, the regression suite;
                                Django and SQLAlchemy, ActiveRecord, a browser (applications.py)

Python's come from the wheels pinned in pins-python.txt, the tests of PostgreSQL 16 from a crate (crates.py), all others from
Debian's archive, through apt (debian.py). Where they cannot be had, `target/neighbours/<major>.txt` says so, one line each
(name, path or reason), and the tests that need them say that they were skipped. A second run does nothing.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tarfile
import time

import applications
import crates
import debian
import suite
from applications import Unavailable
from setup import (ROOT, TARGET, SetupError, ensure_postgres, extract_tar, finish, is_unpacked, one_at_a_time,
                   output_of, say, scratch_folder)

FOLDER = os.path.join(TARGET, "neighbours")
# What was built by an older form of this file is built anew.
RECIPE = "3"
SUITE_RECIPE = "4"
# The release that has the packages of each major. Debian never had 16 in a release.
RELEASE = {"15": "bookworm", "17": "trixie", "18": "forky"}
# The tests of 16 are in a folder of a crate. What they read and load, and their order, is 17's: but for one C function, and two
# tests of which no order speaks.
TESTS = {"16": ("pg_query-5.1.1", "libpg_query/test/sql/postgres_regress")}
REST_OF_SUITE = {"16": "17"}
# Its libraries run on every newer release, too.
OLDEST = "bookworm"
PGBOUNCER_RELEASE = "trixie"
# How long to believe that the mirror lacks something.
RETRY_AFTER_SECONDS = 24 * 3600


def ensure(name, make, recipe=RECIPE, from_debian=True):
    """target/neighbours/<name>, made by `make(archive, scratch, tree)` unless it is there."""
    folder = os.path.join(FOLDER, name)
    if is_unpacked(folder, recipe):
        return folder
    if from_debian and not debian.is_debian():
        raise Unavailable("this system is no Debian with apt: there is no %s to fetch" % name)
    ensure_not_missing(folder + ".missing")
    with scratch_folder(folder) as scratch:
        tree = os.path.join(scratch, "tree")
        os.makedirs(tree)
        try:
            make(ARCHIVE, scratch, tree)
        except (debian.Missing, Unavailable) as error:
            said = " ".join(str(error).split())
            with open(folder + ".missing", "w", encoding="utf-8") as out:
                out.write(said if isinstance(error, Unavailable) else "Debian's mirror does not have it now: " + said)
            ensure_not_missing(folder + ".missing")
        finish(tree, folder, recipe)
    return folder


def ensure_not_missing(note):
    """A mirror may list what it no longer has; we do not ask again at every run."""
    if os.path.exists(note) and time.time() - os.stat(note).st_mtime < RETRY_AFTER_SECONDS:
        with open(note, encoding="utf-8") as text:
            raise Unavailable(text.read())


def run(command, folder, **environment):
    done = subprocess.run(command, cwd=folder, env=dict(os.environ, **environment), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode != 0:
        raise SetupError("%s in %s:\n%s" % (" ".join(command), folder, done.stdout[-4000:]))


def source(archive, package, release, scratch, only=""):
    """The unpacked source of a package; with `only` just what starts so."""
    tarball = archive.fetch_source(package, release, scratch)
    into = os.path.join(scratch, package)
    with tarfile.open(tarball) as packed:
        extract_tar(packed, into, lambda name: name.split("/", 1)[-1].startswith(only))
    (folder,) = glob.glob(os.path.join(into, "*"))
    return folder


def old_pgbouncer(archive, scratch, tree):
    """PgBouncer as Debian 12 has it: no prepared statements of the protocol in transaction mode."""
    del scratch
    archive.unpack(["pgbouncer", "libevent-2.1-7", "libc-ares2"], OLDEST, tree)
    for part in ("usr/share", "etc", "lib"):
        shutil.rmtree(os.path.join(tree, part), ignore_errors=True)
    gather(tree, os.path.join(tree, "usr/sbin/pgbouncer"), glob.glob(os.path.join(tree, "usr/lib/*/lib*.so.*")))
    shutil.rmtree(os.path.join(tree, "usr"))
    check_version(tree)


def new_pgbouncer(archive, scratch, tree):
    """A PgBouncer with max_prepared_statements and track_extra_parameters, built here."""
    libraries = os.path.join(scratch, "libevent")
    os.makedirs(libraries)
    archive.unpack(["libevent-dev", "libevent-2.1-7"], OLDEST, libraries)
    found = glob.glob(os.path.join(libraries, "usr/lib/*/libevent-2.1.so.7"))[0]
    built = source(archive, "pgbouncer", PGBOUNCER_RELEASE, scratch)
    say("building the newer PgBouncer")
    run(["./configure", "--without-openssl", "--without-cares", "--disable-debug"], built,
        LIBEVENT_CFLAGS="-I%s/usr/include" % libraries,
        LIBEVENT_LIBS="-L%s -levent" % os.path.dirname(found))
    run(["make", "-j%d" % (os.cpu_count() or 1), "pgbouncer"], built)
    gather(tree, os.path.join(built, "pgbouncer"), [found])
    check_version(tree)


def gather(tree, program, libraries):
    """The program and its libraries in one folder."""
    shutil.copy(program, os.path.join(tree, "pgbouncer"))
    for library in libraries:
        shutil.copy(library, tree)


def check_version(tree):
    run(["./pgbouncer", "--version"], tree, LD_LIBRARY_PATH=tree)


def headers(archive, scratch, tree):
    """What PostgreSQL's own headers include and this machine may lack."""
    del scratch
    archive.unpack(["krb5-multidev", "libkrb5-dev", "libssl-dev"], OLDEST, tree)
    shutil.move(os.path.join(tree, "usr", "include"), tree)
    shutil.rmtree(os.path.join(tree, "usr"))


def compile_module(tree, sources, include, output):
    """A loadable module for the embedded PostgreSQL, with no more than a C compiler."""
    others = os.path.join(ensure("headers", headers), "include")
    pg_config = os.path.join(tree, "bin", "pg_config")
    run(["gcc", "-shared", "-fPIC", "-O2", "-w", "-D_GNU_SOURCE", "-I" + include,
         "-I" + output_of([pg_config, "--includedir-server"]), "-isystem", others,
         "-isystem", os.path.join(others, "x86_64-linux-gnu"), "-o", output] + sources, include)


def extension(package, major):
    """An extension of Debian's for the same major version: one .so, and the files of `extension/`."""
    def make(archive, scratch, tree):
        archive.unpack([package], RELEASE[major], scratch)
        for name in glob.glob(os.path.join(scratch, "usr/lib/postgresql", major, "lib", "*.so")):
            shutil.copy(name, tree)
        shutil.copytree(os.path.join(scratch, "usr/share/postgresql", major, "extension"), os.path.join(tree, "extension"))
    return make


def into_postgres(folder, pg):
    """Puts a built extension into PostgreSQL's tree; moved into place, since a running server may have it mapped."""
    for name in os.listdir(folder):
        if name.endswith(".so"):
            place(os.path.join(folder, name), os.path.join(pg, "lib", name))
    for path in glob.glob(os.path.join(folder, "extension", "*")):
        place(path, os.path.join(pg, "share", "extension", os.path.basename(path)))


def place(path, target):
    if not os.path.exists(target) or os.stat(target).st_mtime_ns != os.stat(path).st_mtime_ns:
        shutil.copy2(path, target + ".new")
        os.rename(target + ".new", target)


def regression_suite(major, pg):
    """PostgreSQL's regression suite: sql, expected, data, and the modules that it loads."""
    def make(archive, scratch, tree):
        origin = REST_OF_SUITE.get(major, major)
        folder = source(archive, "postgresql-" + origin, RELEASE[origin], scratch, only="src/test/regress/")
        regress = os.path.join(folder, "src", "test", "regress")
        if major in TESTS:
            suite.replace_tests(regress, crates.unpack(*TESTS[major], scratch))
        suite.end_copies(regress)
        for part in ("sql", "expected", "data", "parallel_schedule"):
            shutil.move(os.path.join(regress, part), tree)
        for name in glob.glob(os.path.join(regress, "*resultmap")):
            shutil.move(name, tree)
        os.makedirs(os.path.join(tree, "lib"))
        compile_module(pg, [os.path.join(regress, "regress.c")], regress, os.path.join(tree, "lib", "regress.so"))
        for module in ("autoinc", "refint"):
            shutil.copy(os.path.join(pg, "lib", module + ".so"), os.path.join(tree, "lib"))
        shutil.copy(os.path.join(pg, "lib/pgxs/src/test/regress/pg_regress"), tree)
    return make


def of_major(name, major, make):
    if major not in RELEASE:
        raise Unavailable("Debian has no %s for PostgreSQL %s" % (name, major))
    return ensure("%s-%s" % (name, major), make)


def python_orms():
    reason = applications.why_no_python_orms()
    if reason:
        raise Unavailable(reason)
    return ensure("python-orms", applications.python_orms, applications.python_recipe(), from_debian=False)


def everything(major):
    """Name and path, or reason, of each neighbour."""
    pg, _ = ensure_postgres(major)
    wanted = [
        ("pgbouncer-old", lambda: ensure("pgbouncer-old", old_pgbouncer)),
        ("pgbouncer-new", lambda: ensure("pgbouncer-new", new_pgbouncer)),
        ("pgaudit", lambda: of_major("pgaudit", major, extension("postgresql-%s-pgaudit" % major, major))),
        ("plpgsql_check", lambda: of_major("plpgsql_check", major,
                                           extension("postgresql-%s-plpgsql-check" % major, major))),
        ("regression-suite", lambda: ensure("regression-suite-" + major, regression_suite(major, pg), SUITE_RECIPE)),
        ("python-orms", python_orms),
        ("active-record", lambda: ensure("active-record", applications.active_record)),
        ("chromium", lambda: ensure("chromium", applications.chromium)),
    ]
    for name, make in wanted:
        try:
            folder = make()
            if name in ("pgaudit", "plpgsql_check"):
                into_postgres(folder, pg)
            yield name, os.path.relpath(folder, ROOT), ""
        except Unavailable as reason:
            say("SKIPPED, with the tests that need it: %s" % reason)
            yield name, "-", str(reason)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pg", metavar="MAJOR", required=True, help="the embedded PostgreSQL that they run beside")
    major = parser.parse_args().pg
    with one_at_a_time():
        os.makedirs(FOLDER, exist_ok=True)
        found = list(everything(major))
        with open(os.path.join(FOLDER, major + ".txt"), "w", encoding="utf-8") as out:
            out.writelines("\t".join(one) + "\n" for one in found)
    if ARCHIVE.is_updated:
        # 100 MB that nobody reads again.
        shutil.rmtree(ARCHIVE.folder, ignore_errors=True)
    say("neighbours of PostgreSQL %s: %s" % (major, "ready" if ARCHIVE.is_updated else "nothing to do"))


ARCHIVE = debian.Archive(os.path.join(FOLDER, "apt"))

if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit("setup: %s" % error)
