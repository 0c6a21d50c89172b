"""Debian's archive, read through apt with a configuration of its own: nothing of the system is changed, no root needed.

The mirror and the keys are the machine's own; apt checks the signatures of the releases, and by them every package. All
that apt writes lies in one folder below target/.
"""

import glob
import os
import shutil
import subprocess

from setup import SetupError, output_of, say

RELEASES = ("bookworm", "trixie", "forky")
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
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


def mirror():
    """The archive that the machine itself uses."""
    for line in output_of(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]).splitlines():
        uri, release, component = (line.split() + ["", "", ""])[:3]
        if component == "main" and release and not any(part in release for part in ("-", "/")):
            return uri
    raise SetupError("apt knows no Debian archive here: no release with the component main in /etc/apt/sources.list*")


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

    def update(self):
        if self.is_updated:
            return
        for part in ("state/lists/partial", "cache/archives/partial", "none"):
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
        keyring = next((path for path in KEYRINGS if os.path.exists(path)), None)
        option = "[signed-by=%s] " % keyring if keyring else ""
        uri = mirror()
        with open(os.path.join(self.folder, "sources.list"), "w", encoding="utf-8") as out:
            for release in RELEASES:
                for kind in ("deb", "deb-src"):
                    out.write("%s %s%s %s main\n" % (kind, option, uri, release))
        with open(os.path.join(self.folder, "status"), "w", encoding="utf-8"):
            pass
        # Proxies and the like stay the machine's; its hooks, which touch the system's folders, do not.
        acquire = [line for line in output_of(["apt-config", "dump"]).splitlines()
                   if line.startswith("Acquire::") and "IndexTargets" not in line and "Languages" not in line]
        with open(os.path.join(self.folder, "apt.conf"), "w", encoding="utf-8") as out:
            out.write("\n".join(acquire) + CONFIG.format(self.folder))
        say("reading Debian's lists of packages (%s)" % ", ".join(RELEASES))
        self._apt(["apt-get", "update", "-qq", "--error-on=any"], self.folder)
        self.is_updated = True

    def fetch_source(self, package, release, into):
        """The upstream tarball of a source package as that release has it; its path."""
        self.update()
        say("fetching the source of %s (%s)" % (package, release))
        self._apt(["apt-get", "source", "-qq", "--download-only", "--tar-only", "--only-source", "-t", release, package],
                  into)
        tarballs = [path for path in glob.glob(os.path.join(into, "%s_*.orig.tar.*" % package))
                    if not path.endswith(".asc")]
        if len(tarballs) != 1:
            raise SetupError("not one tarball in the source package %s: %s" % (package, tarballs))
        return tarballs[0]

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
