"""Debian's archive, read through apt with a configuration of its own: nothing of the system is changed, no root needed.

The mirror and the keys are the machine's own; apt checks the signatures of the releases, and by them every package. All
that apt writes lies in one folder below target/.
"""

import contextlib
import glob
import os
import re
import shutil
import subprocess

from setup import SOURCE_PINS, SetupError, output_of, read_pins, say

RELEASES = ("bookworm", "trixie", "forky")
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
# What apt itself fetches files with; it checks the hash that it is given.
HELPER = "/usr/lib/apt/apt-helper"
CONFIG = """
Dir::State "{0}/state";
Dir::State::status "{0}/status";
Dir::Cache "{0}/cache";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "{0}/none";
Dir::Etc::sourcelist "{0}/sources.list";
Dir::Etc::sourceparts "{0}/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{0}/none";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "";
"""


class Missing(SetupError):
    """The archive's lists name something that its mirror has no more."""


def is_debian():
    """Whether this machine is a Debian, whose packages we may take."""
    try:
        with open("/etc/os-release", encoding="utf-8") as lines:
            return any(line.strip() == "ID=debian" for line in lines) and shutil.which("apt-get") is not None
    except OSError:
        return False


def mirror(is_ours):
    """The archive that the machine itself uses for such a release; empty when none."""
    for line in output_of(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]).splitlines():
        uri, release, component = (line.split() + ["", "", ""])[:3]
        if component == "main" and is_ours(release):
            return uri
    return ""


def main_mirror():
    found = mirror(lambda release: release and not any(part in release for part in ("-", "/")))
    if not found:
        raise SetupError("apt knows no Debian archive here: no release with the component main in /etc/apt/sources.list*")
    return found


def security_mirror():
    """Where the machine has its security updates from; at times one of the two archives has a source that the other lacks."""
    return mirror(lambda release: release in security(RELEASES))


def security(releases):
    return [release + "-security" for release in releases]


class Archive:
    """apt in `folder`; the lists are fetched when something is first asked for."""

    def __init__(self, folder):
        self.folder = folder
        self.is_updated = False

    def _environment(self):
        return dict(os.environ, APT_CONFIG=os.path.join(self.folder, "apt.conf"), LC_ALL="C")

    def _apt(self, command, into):
        run = subprocess.run(command, cwd=into, env=self._environment(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        if run.returncode != 0 and " 404 " in run.stdout and command[1] != "update":
            raise Missing(run.stdout.strip()[-500:])
        if run.returncode != 0:
            raise SetupError("%s: %s" % (" ".join(command), run.stdout.strip()[-2000:]))

    def _said(self, command):
        return subprocess.run(command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, universal_newlines=True).stdout

    def update(self):
        if self.is_updated:
            return
        for part in ("state/lists/partial", "cache/archives/partial", "none"):
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
        keyring = next((path for path in KEYRINGS if os.path.exists(path)), None)
        option = "[signed-by=%s] " % keyring if keyring else ""
        self._sources("w", ("deb", "deb-src"), option + main_mirror(), RELEASES)
        with open(os.path.join(self.folder, "status"), "w", encoding="utf-8"):
            pass
        # Proxies and the like stay the machine's; its hooks, which touch the system's folders, do not.
        acquire = [line for line in output_of(["apt-config", "dump"]).splitlines()
                   if line.startswith("Acquire::") and "IndexTargets" not in line and "Languages" not in line]
        with open(os.path.join(self.folder, "apt.conf"), "w", encoding="utf-8") as out:
            out.write("\n".join(acquire) + CONFIG.format(self.folder))
        say("reading Debian's lists of packages (%s)" % ", ".join(RELEASES))
        self._apt(["apt-get", "update", "-qq", "--error-on=any"], self.folder)
        secure = security_mirror()
        if secure:
            self._sources("a", ("deb-src",), option + secure, security(RELEASES))
            # Not every release has one; apt keeps the lists that it could read.
            with contextlib.suppress(SetupError):
                self._apt(["apt-get", "update", "-qq"], self.folder)
        self.is_updated = True

    def _sources(self, mode, kinds, origin, releases):
        with open(os.path.join(self.folder, "sources.list"), mode, encoding="utf-8") as out:
            out.writelines("%s %s %s main\n" % (kind.ljust(7), origin, release) for release in releases for kind in kinds)

    def fetch_source(self, package, release, into):
        """The upstream tarball of a source package; its path.

        As that release has it, its security updates, or a newer release; at last a pinned one, which the archive may keep
        when its lists already name the next."""
        self.update()
        say("fetching the source of %s (%s)" % (package, release))
        missing = None
        for command in self._source_commands(package, release, into):
            try:
                self._apt(command, into)
                break
            except Missing as error:
                missing = missing or error
        else:
            raise missing or Missing("no list names the source " + package)
        tarballs = [path for path in glob.glob(os.path.join(into, "%s_*.orig.tar.*" % package))
                    if not path.endswith(".asc")]
        if len(tarballs) != 1:
            raise SetupError("not one tarball in the source package %s: %s" % (package, tarballs))
        return tarballs[0]

    def _source_commands(self, package, release, into):
        """The ways to a tarball; the first that leads to one is enough."""
        folders = []
        for suite in self._suites(package, release):
            command = ["apt-get", "source", "-qq", "--tar-only", "--only-source", "%s/%s" % (package, suite)]
            yield command + ["--download-only"]
            folders += re.findall("^'(.*)/", self._said(command + ["--print-uris"]), re.MULTILINE)
        for pin in read_pins(SOURCE_PINS):
            name, checksum = pin.split(" --hash=sha256:")
            if name.startswith(package + "_"):
                for folder in dict.fromkeys(folders):
                    yield [HELPER, "download-file", "%s/%s" % (folder, name), os.path.join(into, name), "SHA256:" + checksum]

    def _suites(self, package, release):
        """The suites whose lists have the source, from that of `release` on: an older one may lack what is wanted of it."""
        # postgresql-17 | 17.12-0+deb13u1 | <mirror> trixie/main Sources
        lines = [line.split("|")[-1].split() for line in self._said(["apt-cache", "madison", package]).splitlines()]
        listed = [line[1].split("/")[0] for line in lines if line[-1:] == ["Sources"]]
        newer = RELEASES[RELEASES.index(release):]
        return [suite for one in newer for suite in [one] + security([one]) if suite in listed]

    def closure(self, package, release):
        """The names of a package and of all that it depends on, in that release, on a machine that has nothing."""
        self.update()
        command = ["apt-get", "install", "--simulate", "-qq", "--no-install-recommends", "-t", release, package]
        run = subprocess.run(command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, universal_newlines=True)
        if run.returncode != 0:
            raise Missing(run.stdout.strip()[-500:])
        return [line.split()[1] for line in run.stdout.splitlines() if line.startswith("Inst ")]

    def unpack(self, packages, release, into):
        """The files of a release's binary packages, below `into`; nothing is installed."""
        self.update()
        say("fetching %s (%s)" % (", ".join(packages), release))
        self._apt(["apt-get", "download", "-qq"] + ["%s/%s" % (package, release) for package in packages], into)
        for package in glob.glob(os.path.join(into, "*.deb")):
            self._apt(["dpkg-deb", "--extract", package, into], into)
            os.remove(package)
