package image

import (
	"fmt"
	"path"
	"strings"
)

// rulesVersion is part of every digest: raise it when code changes what is
// built from the same packages; the tables below count by themselves.
const rulesVersion = 1

// rulesID stands for all that decides what is built from the same packages
// or the same archive.
func rulesID() string {
	return hashOf(fmt.Sprint(rulesVersion, basePackages, nameRules, pathRules, standardDirs, standardFiles, users, standardLinks))
}

// basePackages are in every image made of packages: what a script of POSIX sh
// needs, and no more.
var basePackages = []string{
	"base-files", // os-release and the directories everything expects
	"libc6",      // the loader and the C library
	"libc-bin",   // getent, locale, ldd and the C.UTF-8 locale
	"dash",       // sh
	"coreutils",  // cat, cp, mkdir, timeout, …
	"sed",
	"grep",
	"mawk",      // awk
	"findutils", // find, xargs
	"hostname",
	"tini", // the first process of a container, see agent.initProgram
}

// nameRule says that packages of a name are left out although something
// depends on them. Packages asked for by name are never left out.
type nameRule struct {
	pattern string // of path.Match
	reason  string
}

// nameRules name the packages that are left out. No maintainer script is ever
// run in an image, so what only they use is not needed.
var nameRules = []nameRule{
	{"dpkg", "packages are unpacked by the agent"},
	{"apt", "packages are fetched by the agent"},
	{"apt-utils", "packages are fetched by the agent"},
	{"perl", "used by maintainer scripts and wrappers only"},
	{"perl-base", "used by maintainer scripts and wrappers only"},
	{"perl-modules-*", "used by maintainer scripts and wrappers only"},
	{"lib*-perl", "used by maintainer scripts and wrappers only"},
	{"perlapi-*", "used by maintainer scripts and wrappers only"},
	{"python3*", "used by tools beside the engine only"},
	{"libpython3*", "used by tools beside the engine only"},
	{"systemd", "the container's command is its first process"},
	{"systemd-*", "the container's command is its first process"},
	{"init-system-helpers", "maintainer scripts only"},
	{"sysvinit-utils", "init scripts only"},
	{"lsb-base", "init scripts only"},
	{"usrmerge", "the agent makes the merged directories itself"},
	{"usr-is-merged", "the agent makes the merged directories itself"},
	{"debconf", "maintainer scripts only"},
	{"debconf-2.0", "maintainer scripts only"},
	{"cdebconf", "maintainer scripts only"},
	{"adduser", "the image has its one user already"},
	{"passwd", "the image has its one user already"},
	{"login", "nobody logs in"},
	{"libsemanage*", "the tools that change users only"},
	{"ucf", "maintainer scripts only"},
	{"sensible-utils", "maintainer scripts only"},
	{"ssl-cert", "makes certificates in maintainer scripts; ours come as files"},
	{"logrotate", "the agent rotates logs"},
	{"cron", "nothing is run by the clock inside an image"},
	{"cron-daemon-common", "nothing is run by the clock inside an image"},
	{"locales", "C.UTF-8 comes with libc-bin; others are made by maintainer scripts"},
	{"locales-all", "C.UTF-8 comes with libc-bin; all locales are 200 MB"},
	{"libc-l10n", "translations"},
	{"gcc-*-base", "documentation only"},
	{"libllvm*", "compilers inside an engine cost more than 100 MB; engines run without"},
	{"libz3*", "only the compilers use it"},
	{"*-common", "configuration and wrappers for the layout that maintainer scripts make"},
}

// droppedName says whether a package is left out.
func droppedName(name string) bool {
	for _, r := range nameRules {
		if ok, _ := path.Match(r.pattern, name); ok {
			return true
		}
	}
	return false
}

// pathRule says that files are left out of images made of packages.
type pathRule struct {
	pattern string // of path.Match for whole path elements: the tree below is meant
	keep    bool   // an exception from a later rule
	reason  string
}

// pathRules are tried in order; the first that matches decides.
var pathRules = []pathRule{
	{"usr/share/doc", false, "documentation"},
	{"usr/share/doc-base", false, "documentation"},
	{"usr/share/man", false, "documentation"},
	{"usr/share/info", false, "documentation"},
	{"usr/share/*/*/man", false, "documentation"},
	{"usr/share/lintian", false, "checks of the packages themselves"},
	{"usr/share/bug", false, "bug reports"},
	{"usr/share/locale", false, "translations"},
	{"usr/share/i18n", false, "sources of locales"},
	{"usr/share/bash-completion", false, "nobody types here"},
	{"usr/share/zsh", false, "nobody types here"},
	{"usr/share/pixmaps", false, "pictures"},
	{"usr/share/applications", false, "desktops"},
	{"usr/lib/*/gconv/gconv-modules*", true, "the list of character sets"},
	{"usr/lib/*/gconv/UTF-*.so", true, "common character sets"},
	{"usr/lib/*/gconv/UNICODE.so", true, "common character sets"},
	{"usr/lib/*/gconv/ISO8859-1.so", true, "common character sets"},
	{"usr/lib/*/gconv/ISO8859-15.so", true, "common character sets"},
	{"usr/lib/*/gconv/CP1252.so", true, "common character sets"},
	{"usr/lib/*/gconv", false, "old character sets"},
	{"usr/lib/*/*/lib/bitcode", false, "input of a compiler that is left out"},
	{"usr/lib/*/*/lib/llvmjit*", false, "needs a compiler that is left out"},
	{"usr/lib/systemd", false, "there is no systemd"},
	{"etc/systemd", false, "there is no systemd"},
	{"etc/init.d", false, "there is no init"},
	{"etc/cron.*", false, "there is no cron"},
	{"etc/logrotate.d", false, "the agent rotates logs"},
	{"var/cache/*", false, "caches are made anew"},
}

// droppedPath says whether a file is left out.
func droppedPath(name string) bool {
	for _, r := range pathRules {
		if below(r.pattern, name) {
			return !r.keep
		}
	}
	return false
}

// below says whether name, or a directory it lies in, matches the pattern.
func below(pattern, name string) bool {
	depth := strings.Count(pattern, "/") + 1
	end := 0
	for range depth {
		if end == len(name) {
			return false
		}
		if end > 0 {
			end++
		}
		if i := strings.IndexByte(name[end:], '/'); i >= 0 {
			end += i
		} else {
			end = len(name)
		}
	}
	ok, _ := path.Match(pattern, name[:end])
	return ok
}
