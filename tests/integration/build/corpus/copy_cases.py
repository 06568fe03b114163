"""COPY and ADD: destinations, wildcards, owners, modes, links, and every flag."""

import gzip
import io
import tarfile

from tests.integration.build.corpus.corpus_case import Case, file_of, hard_link, link


def _tar(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size, info.mode, info.uid, info.gid = len(content), 0o640, 5, 6
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


TREE = {"d/": "", "d/a.txt": "a", "d/b.md": "b", "d/s/": "", "d/s/c.txt": "c", "top.txt": "t"}

CASES = (
    Case("copy-file-to-name", "FROM scratch\nCOPY top.txt /x/y\n",
         {"x": "directory 755 0:0", "x/y": "file 644 0:0 t"}, TREE),
    Case("copy-file-into-directory", "FROM scratch\nCOPY top.txt /x/\n",
         {"x": "directory 755 0:0", "x/top.txt": "file 644 0:0 t"}, TREE),
    Case("copy-relative-to-workdir", "FROM scratch\nWORKDIR /w\nCOPY top.txt .\nCOPY top.txt sub/\n",
         {"w": "directory 755 0:0", "w/top.txt": "file 644 0:0 t", "w/sub": "directory 755 0:0",
          "w/sub/top.txt": "file 644 0:0 t"}, TREE),
    Case("copy-contents-of-a-directory", "FROM scratch\nCOPY d /x\n",
         {"x": "directory 755 0:0", "x/a.txt": "file 644 0:0 a", "x/b.md": "file 644 0:0 b",
          "x/s": "directory 755 0:0", "x/s/c.txt": "file 644 0:0 c"}, TREE),
    Case("copy-several", "FROM scratch\nCOPY top.txt d/a.txt d/s /x/\n",
         {"x": "directory 755 0:0", "x/top.txt": "file 644 0:0 t", "x/a.txt": "file 644 0:0 a",
          "x/c.txt": "file 644 0:0 c"}, TREE),
    Case("copy-json", 'FROM scratch\nCOPY ["a b", "/x y/"]\n',
         {"x y": "directory 755 0:0", "x y/a b": "file 644 0:0 1"}, {"a b": "1"}),
    Case("copy-wildcards", "FROM scratch\nCOPY d/*.txt /x/\nCOPY ?op.[a-t]xt /y/\n",
         {"x": "directory 755 0:0", "x/a.txt": "file 644 0:0 a", "y": "directory 755 0:0",
          "y/top.txt": "file 644 0:0 t"}, TREE),
    Case("copy-wildcards-of-directories", "FROM scratch\nCOPY * /x/\n",
         {"x": "directory 755 0:0", "x/a.txt": "file 644 0:0 a", "x/b.md": "file 644 0:0 b",
          "x/s": "directory 755 0:0", "x/s/c.txt": "file 644 0:0 c", "x/top.txt": "file 644 0:0 t"}, TREE),
    Case("copy-variables", "FROM scratch\nARG F=top\nENV D=/x\nCOPY ${F}.txt $D/\n",
         {"x": "directory 755 0:0", "x/top.txt": "file 644 0:0 t"}, TREE),
    Case("copy-chown-numbers", "FROM scratch\nCOPY --chown=3:4 d /x\n",
         {"x": "directory 755 3:4", "x/a.txt": "file 644 3:4 a", "x/b.md": "file 644 3:4 b",
          "x/s": "directory 755 3:4", "x/s/c.txt": "file 644 3:4 c"}, TREE),
    Case("copy-chown-names", "FROM $BASE\nCOPY --chown=app:staff top.txt /x\nCOPY --chown=app top.txt /y\n",
         {"x": "file 644 1000:50 t", "y": "file 644 1000:1000 t"}, TREE),
    Case("copy-chmod-octal", "FROM scratch\nCOPY --chmod=4751 top.txt /x\nCOPY --chmod=700 d/s /y/\n",
         {"x": "file 4751 0:0 t", "y": "directory 700 0:0", "y/c.txt": "file 700 0:0 c"}, TREE),
    Case("copy-chmod-symbolic", "FROM scratch\nCOPY --chmod=u=rwX,go= d/s /y/\n",
         {"y": "directory 755 0:0", "y/c.txt": "file 600 0:0 c"}, TREE),
    Case("copy-chmod-symbolic-below", "FROM scratch\nCOPY --chmod=u=rwX,go= d /y\n",
         {"y": "directory 755 0:0", "y/a.txt": "file 600 0:0 a", "y/b.md": "file 600 0:0 b",
          "y/s": "directory 700 0:0", "y/s/c.txt": "file 600 0:0 c"}, TREE),
    Case("copy-modes-of-the-context", "FROM scratch\nCOPY f g /\n", {"f": "file 4750 0:0 ", "g": "file 600 0:0 "},
         {"f": file_of(0o4750), "g": file_of(0o600)}),
    Case("copy-links", "FROM scratch\nCOPY d /x/\n",
         {"x": "directory 755 0:0", "x/f": "file 644 0:0 1", "x/soft": "link f", "x/out": "link /etc/passwd",
          "x/hard": "file 644 0:0 1"},
         {"d/": "", "d/f": "1", "d/hard": hard_link("d/f"), "d/out": link("/etc/passwd"), "d/soft": link("f")}),
    Case("copy-a-link-itself", "FROM scratch\nCOPY l /x\n", {"x": "file 644 0:0 1"}, {"f": "1", "l": link("f")}),
    Case("copy-link-flag", "FROM $BASE\nCOPY --link top.txt /x/\n",
         {"x": "directory 755 0:0", "x/top.txt": "file 644 0:0 t"}, TREE),
    Case("copy-parents", "FROM scratch\nCOPY --parents d/s/c.txt top.txt /x/\nCOPY --parents ./d/./s/*.txt /y/\n",
         {"x": "directory 755 0:0", "x/d": "directory 755 0:0", "x/d/s": "directory 755 0:0",
          "x/d/s/c.txt": "file 644 0:0 c", "x/top.txt": "file 644 0:0 t", "y": "directory 755 0:0",
          "y/s": "directory 755 0:0", "y/s/c.txt": "file 644 0:0 c"}, TREE),
    Case("copy-exclude", "FROM scratch\nCOPY --exclude=*.md --exclude=s d /x/\n",
         {"x": "directory 755 0:0", "x/a.txt": "file 644 0:0 a"}, TREE),
    Case("copy-heredoc", "FROM scratch\nCOPY <<a <<\"b\" /x/\n1 $HOME\na\n2 $HOME\nb\n",
         {"x": "directory 755 0:0", "x/a": "file 644 0:0 1 \n", "x/b": "file 644 0:0 2 $HOME\n"}),
    Case("copy-heredoc-with-tabs", "FROM scratch\nCOPY --chmod=755 <<-E /run.sh\n\t#!/bin/sh\n\techo\n\tE\n",
         {"run.sh": "file 755 0:0 #!/bin/sh\necho\n"}),
    Case("copy-from-stage-keeps-owners",
         "FROM $BASE AS one\nRUN mkdir -p /d/e && echo 1 > /d/f && chown 1000:50 /d /d/f /d/e && chmod 711 /d /d/e "
         "&& ln -s f /d/l\n"
         "FROM scratch\nCOPY --from=one /d /x\nCOPY --from=one --chown=9 /d/f /y\n",
         {"x": "directory 755 0:0", "x/e": "directory 711 1000:50", "x/f": "file 644 1000:50 1\n", "x/l": "link f",
          "y": "file 644 9:9 1\n"}),
    Case("copy-parents-keep-modes", "FROM $BASE AS one\nRUN mkdir -p /d/e && echo 1 > /d/e/f && chmod 711 /d/e && "
         "chown 5:6 /d/e\nFROM scratch\nCOPY --from=one --parents /d/e/f /x/\n",
         {"x": "directory 755 0:0", "x/d": "directory 755 0:0", "x/d/e": "directory 711 5:6",
          "x/d/e/f": "file 644 0:0 1\n"}),
    Case("copy-hard-links-of-two-sources", "FROM $BASE AS one\nRUN echo 1 > /a && ln /a /b\n"
         "FROM $BASE\nCOPY --from=one /a /b /x/\nRUN echo 2 > /x/a\n",
         {"x": "directory 755 0:0", "x/a": "file 644 0:0 2\n", "x/b": "file 644 0:0 1\n"}),
    Case("copy-from-image", "FROM scratch\nCOPY --from=$BASE /etc/passwd /p\n",
         {"p": "file 644 0:0 root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"}),
    Case("copy-over-a-link", "FROM $BASE\nRUN mkdir /real && ln -s real /l\nCOPY top.txt /l/\n",
         {"real": "directory 755 0:0", "l": "link real", "real/top.txt": "file 644 0:0 t"}, TREE),
    Case("copy-over-a-file", "FROM $BASE\nRUN echo old > /x; chmod 600 /x\nCOPY top.txt /x\n",
         {"x": "file 644 0:0 t"}, TREE),
    Case("copy-empty-directory", "FROM scratch\nCOPY e /x\n", {"x": "directory 755 0:0"}, {"e/": ""}),
    Case("copy-odd-names", "FROM scratch\nCOPY d /x/\n",
         {"x": "directory 755 0:0", "x/a b": "file 644 0:0 1", "x/é": "file 644 0:0 2", "x/-n": "file 644 0:0 3",
          "x/" + "n" * 200: "file 644 0:0 4"},
         {"d/": "", "d/a b": "1", "d/é": "2", "d/-n": "3", "d/" + "n" * 200: "4"}),
    Case("add-archive", "FROM scratch\nADD a.tar /x/\n",
         {"x": "directory 755 0:0", "x/f": "file 640 5:6 1", "x/s": "directory 755 0:0", "x/s/g": "file 640 5:6 2"},
         {"a.tar": _tar(f=b"1", s__g=b"2")}),
    Case("add-compressed", "FROM scratch\nADD a.tgz /x/\nADD plain.gz /\n",
         {"x": "directory 755 0:0", "x/f": "file 640 5:6 1",
          "plain.gz": f"file 644 0:0 {gzip.compress(b'p', mtime=0).decode(errors='replace')}"},
         {"a.tgz": gzip.compress(_tar(f=b"1")), "plain.gz": gzip.compress(b"p", mtime=0)}),
    Case("add-file", "FROM scratch\nADD top.txt d/s /x/\n",
         {"x": "directory 755 0:0", "x/top.txt": "file 644 0:0 t", "x/c.txt": "file 644 0:0 c"}, TREE),
)  # fmt: skip
