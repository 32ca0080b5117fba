"""Writes a small image as `docker save` does, for the tests of a release.

archive.py FILE ARCHITECTURE REVISION
"""

import hashlib
import io
import json
import sys
import tarfile


def main():
    file, architecture, revision = sys.argv[1:]
    layer = tar({"usr/local/bin/fanfare": f"for {architecture}\n".encode()})
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": ["/usr/local/bin/fanfare"],
                "Healthcheck": {"Test": ["CMD", "/usr/local/bin/fanfare", "healthcheck"]},
                "Labels": {
                    "org.opencontainers.image.revision": revision,
                    "org.opencontainers.image.version": "0.1.0",
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [{"created_by": "COPY"}],
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [f"fanfare:{revision}"], "Layers": ["layer/layer.tar"]}]
    with open(file, "wb") as archive:
        archive.write(tar({name: config, "layer/layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}))


def tar(files):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


if __name__ == "__main__":
    main()
