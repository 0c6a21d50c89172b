r"""PostgreSQL's regression suites, made to fit the server that runs them. Nobody asks for what they should print: the test
compares two runs.

psql of 15.19, 16.15, 17.11 and 18.6 reads data also after a COPY that failed, up to a line with `\.`. Suites that are older
have no such line there: the rest of the test would not be run.
"""

import glob
import os
import re
import shutil

COPY = re.compile(rb"(?i)^(?!--).*\bcopy\b.*\bfrom\s+std(in|out)\b")
# Of alter_table, as minors after 16.1 have it: temporary tables' oids are not the same in two runs.
FILENODES = (b"AND mapped_oid IS DISTINCT FROM", b"AND relpersistence != 't' AND mapped_oid IS DISTINCT FROM")


def end_copies(regress):
    """A line of `\\.` for every COPY that has none before the next."""
    for path in glob.glob(os.path.join(regress, "sql", "*.sql")):
        with open(path, "rb") as test:
            lines = test.read().splitlines(keepends=True)
        ended, last = [], None
        for line in lines:
            if COPY.search(line):
                if last is not None:
                    ended.insert(last, b"\\.\n")
                last = len(ended) + 1
            elif line.startswith(b"\\."):
                last = None
            ended.append(line)
        if last is not None:
            ended.insert(last, b"\\.\n")
        if len(ended) > len(lines):
            with open(path, "wb") as test:
                test.writelines(ended)


def replace_tests(regress, tests):
    """The tests of 16.1 in the place of a suite's own, in its order; those that it does not know are run last."""
    for part in ("sql", "expected"):
        shutil.rmtree(os.path.join(regress, part))
        os.makedirs(os.path.join(regress, part))
    names = {os.path.basename(path)[:-len(".sql")] for path in glob.glob(os.path.join(tests, "*.sql"))}
    for name in names:
        with open(os.path.join(tests, name + ".sql"), "rb") as test:
            text = test.read()
        with open(os.path.join(regress, "sql", name + ".sql"), "wb") as test:
            test.write(text.replace(*FILENODES) if name == "alter_table" else text)
        # pg_regress wants a file.
        with open(os.path.join(regress, "expected", name + ".out"), "wb"):
            pass
    schedule = os.path.join(regress, "parallel_schedule")
    with open(schedule, encoding="ascii") as lines:
        groups = [[name for name in line.split()[1:] if name in names] for line in lines if line.startswith("test:")]
    groups += [[name] for name in sorted(names.difference(*groups))]
    with open(schedule, "w", encoding="ascii") as out:
        out.writelines("test: %s\n" % " ".join(group) for group in groups if group)
