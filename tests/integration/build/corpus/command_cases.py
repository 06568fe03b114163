"""RUN: forms, mounts, networks, what it leaves; and images as people make them."""

from tests.integration.build.corpus.corpus_case import Case

CASES = (
    Case("run-shell-and-exec", 'FROM $BASE\nRUN echo $((1+1)) > /a\nRUN ["/bin/sh", "-c", "echo $0 > /b", "zero"]\n',
         {"a": "file 644 0:0 2\n", "b": "file 644 0:0 zero\n"}),
    Case("run-heredoc", "FROM $BASE\nRUN <<E\necho 1 > /a\necho 2 >> /a\nE\n", {"a": "file 644 0:0 1\n2\n"}),
    Case("run-heredoc-script", "FROM $BASE\nRUN <<E cat > /a\nx $HOME\nE\n", {"a": "file 644 0:0 x /root\n"}),
    Case("run-heredoc-interpreter", "FROM $BASE\nRUN <<E\n#!/bin/sh -e\n"
         "echo $0 | grep -c EOF > /dev/null || echo i > /i\nE\n",
         {"i": "file 644 0:0 i\n"}),
    Case("run-removes", "FROM $BASE\nRUN rm /etc/group && rm -r /tmp && mkdir /tmp\n",
         {"etc/group": None, "tmp": "directory 755 0:0"}),
    Case("run-replaces-a-directory", "FROM $BASE\nRUN mkdir -p /d/e && echo 1 > /d/e/f\n"
         "RUN rm -r /d && mkdir /d && echo 2 > /d/g\n",
         {"d": "directory 755 0:0", "d/g": "file 644 0:0 2\n"}),
    Case("run-kinds-change", "FROM $BASE\nRUN mkdir /a && echo 1 > /b && ln -s x /c\n"
         "RUN rm -r /a /b /c && echo 1 > /a && ln -s y /b && mkdir /c\n",
         {"a": "file 644 0:0 1\n", "b": "link y", "c": "directory 755 0:0"}),
    Case("run-modes-and-owners", "FROM $BASE\n"
         "RUN echo 1 > /a && chmod 4755 /a && echo 2 > /b && chown 1000:50 /b && mkdir -m 1777 /c\n",
         {"a": "file 4755 0:0 1\n", "b": "file 644 1000:50 2\n", "c": "directory 1777 0:0"}),
    Case("run-hard-links", "FROM $BASE\nRUN echo 1 > /a && ln /a /b && ln /a /c\nRUN rm /b\n",
         {"a": "file 644 0:0 1\n", "c": "file 644 0:0 1\n"}),
    Case("run-moves", "FROM $BASE\nRUN mkdir /d && echo 1 > /d/f\nRUN mv /d /e\n",
         {"e": "directory 755 0:0", "e/f": "file 644 0:0 1\n"}),
    Case("run-devices-and-fifos-stay-out-of-dev", "FROM $BASE\nRUN echo 1 > /dev/shm/x; echo 2 > /a\n",
         {"a": "file 644 0:0 2\n"}),
    Case("run-etc-files-are-not-kept", "FROM $BASE\nRUN cat /etc/hosts /etc/resolv.conf > /dev/null; echo 1 > /a\n",
         {"a": "file 644 0:0 1\n"}),
    Case("run-bind", "FROM $BASE\nRUN --mount=type=bind,target=/c cat /c/f > /a\n"
         "RUN --mount=target=/c,rw rm /c/f && echo 1 > /b\n",
         {"a": "file 644 0:0 f", "b": "file 644 0:0 1\n"}, {"f": "f"}),
    Case("run-bind-of-a-stage", "FROM $BASE AS one\nRUN echo 1 > /f\nFROM $BASE\n"
         "RUN --mount=from=one,source=/f,target=/x/f cat /x/f > /a\n",
         {"a": "file 644 0:0 1\n"}),
    Case("run-cache", "FROM $BASE\nRUN --mount=type=cache,target=/c,id=corpus echo 1 > /c/x && echo 2 > /a\n",
         {"a": "file 644 0:0 2\n"}),
    Case("run-tmpfs", "FROM $BASE\nRUN --mount=type=tmpfs,target=/t,size=1m echo 1 > /t/x && echo 2 > /a\n",
         {"a": "file 644 0:0 2\n"}),
    Case("run-secret", "FROM $BASE\nRUN --mount=type=secret,id=s cat /run/secrets/s > /a\n"
         "RUN --mount=type=secret,id=s,target=/k,mode=0444 stat -c %a /k > /m\n"
         "RUN --mount=type=secret,id=s,env=S echo $S > /e\n",
         {"a": "file 644 0:0 hush", "m": "file 644 0:0 444\n", "e": "file 644 0:0 hush\n"}, secrets={"s": b"hush"}),
    Case("run-secret-that-is-missing", "FROM $BASE\n"
         "RUN --mount=type=secret,id=none test ! -e /run/secrets/none && echo 1 > /a\n",
         {"a": "file 644 0:0 1\n"}),
    Case("run-without-network", "FROM $BASE\nRUN --network=none ip link | grep -c '^[0-9]' > /n\n",
         {"n": "file 644 0:0 1\n"}),
    Case("run-hosts", "FROM $BASE\nRUN grep -c added /etc/hosts > /n\n", {"n": "file 644 0:0 1\n"}, {}, {},
         {"extra_hosts": ["added:10.0.0.9"]}),
    Case("run-environment",
         "FROM $BASE\nENV A=1\nRUN A=2 && export B=3 && echo $A$B > /a\nRUN echo $A${B:-none} > /b\n",
         {"a": "file 644 0:0 23\n", "b": "file 644 0:0 1none\n"}),
    Case("run-home", "FROM $BASE\nRUN echo $HOME > /r\nUSER app\nRUN echo $HOME > /tmp/h\n",
         {"r": "file 644 0:0 /root\n", "tmp/h": "file 644 1000:1000 /home/app\n"}),
    Case("image-like-go", "FROM $BASE AS build\nWORKDIR /src\nCOPY go.mod .\n"
         "RUN --mount=type=cache,target=/root/.cache true\n"
         "COPY . .\nRUN mkdir /out && cp main.go /out/app && chmod 755 /out/app\n"
         'FROM scratch\nCOPY --from=build /out/app /app\nUSER 65532:65532\nENTRYPOINT ["/app"]\n',
         {"app": "file 755 0:0 package main\n"}, {"go.mod": "module x\n", "main.go": "package main\n"},
         {"User": "65532:65532", "Entrypoint": ["/app"]}),
    Case("image-like-python", "FROM $BASE AS venv\nWORKDIR /app\nCOPY requirements.txt .\n"
         "RUN mkdir -p /venv/bin /venv/lib && ln -s /bin/sh /venv/bin/python && cp requirements.txt "
         "/venv/lib/installed\n"
         "FROM $BASE\nENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1\nCOPY --from=venv /venv /venv\nWORKDIR /app\n"
         'COPY --chown=app:app app.py .\nUSER app\nEXPOSE 8000\nCMD ["python", "app.py"]\n',
         {"venv": "directory 755 0:0", "venv/bin": "directory 755 0:0", "venv/bin/python": "link /bin/sh",
          "venv/lib": "directory 755 0:0", "venv/lib/installed": "file 644 0:0 flask\n", "app": "directory 755 0:0",
          "app/app.py": "file 644 1000:1000 print(1)\n"},
         {"requirements.txt": "flask\n", "app.py": "print(1)\n"},
         {"Cmd": ["python", "app.py"], "ExposedPorts": {"8000/tcp": {}}, "User": "app", "WorkingDir": "/app"}),
    Case("image-like-node", "FROM $BASE AS deps\nWORKDIR /usr/src/app\nCOPY package*.json ./\n"
         "RUN mkdir -p node_modules/x && echo '{}' > node_modules/x/package.json\nFROM deps AS build\nCOPY . .\n"
         "RUN mkdir dist && cat src/*.js > dist/all.js\nFROM $BASE\nWORKDIR /srv\n"
         "COPY --from=deps /usr/src/app/node_modules ./node_modules\nCOPY --from=build /usr/src/app/dist .\nUSER app\n",
         {"srv": "directory 755 0:0", "srv/node_modules": "directory 755 0:0",
         "srv/node_modules/x": "directory 755 0:0",
          "srv/node_modules/x/package.json": "file 644 0:0 {}\n", "srv/all.js": "file 644 0:0 1;2;"},
         {"package.json": "{}", "package-lock.json": "{}", "src/": "", "src/a.js": "1;", "src/b.js": "2;"}),
    Case("image-like-nginx", "FROM $BASE\n"
         "RUN mkdir -p /usr/share/html /var/log/web && ln -sf /dev/stdout /var/log/web/access.log\n"
         "COPY --chmod=644 site.conf /etc/web/conf.d/default.conf\nCOPY html/ /usr/share/html/\nEXPOSE 80\n"
         'STOPSIGNAL SIGQUIT\nHEALTHCHECK CMD wget -q -O- http://localhost/\nCMD ["httpd", "-f"]\n',
         {"usr": "directory 755 0:0", "usr/share": "directory 755 0:0", "usr/share/html": "directory 755 0:0",
          "usr/share/html/index.html": "file 644 0:0 <p>", "var": "directory 755 0:0", "var/log": "directory 755 0:0",
          "var/log/web": "directory 755 0:0", "var/log/web/access.log": "link /dev/stdout",
          "etc/web": "directory 755 0:0", "etc/web/conf.d": "directory 755 0:0",
          "etc/web/conf.d/default.conf": "file 644 0:0 listen 80;"},
         {"site.conf": "listen 80;", "html/": "", "html/index.html": "<p>"}, {"StopSignal": "SIGQUIT"}),
    Case("image-like-c", "FROM $BASE AS build\n"
         "RUN mkdir -p /usr/include && echo '#define V 1' > /usr/include/v.h\nWORKDIR /src\n"
         "COPY Makefile *.c ./\nRUN cat /usr/include/v.h main.c > prog && chmod 755 prog && ln prog prog-1.0\n"
         "FROM $BASE\nCOPY --from=build /src/prog /src/prog-1.0 /usr/local/bin/\n"
         "RUN /bin/test -x /usr/local/bin/prog\n",
         {"usr": "directory 755 0:0", "usr/local": "directory 755 0:0", "usr/local/bin": "directory 755 0:0",
          "usr/local/bin/prog": "file 755 0:0 #define V 1\nint main;\n",
          "usr/local/bin/prog-1.0": "file 755 0:0 #define V 1\nint main;\n"},
         {"Makefile": "all:\n", "main.c": "int main;\n"}),
    Case("image-with-an-entrypoint-script", "FROM $BASE\nCOPY --chmod=755 <<\"E\" /entry.sh\n#!/bin/sh\n"
         "exec \"$@\"\nE\n"
         'ENTRYPOINT ["/entry.sh"]\nCMD ["id"]\n', {"entry.sh": 'file 755 0:0 #!/bin/sh\nexec "$@"\n'}, {},
         {"Entrypoint": ["/entry.sh"], "Cmd": ["id"]}),
    Case("image-with-a-test-stage", "FROM $BASE AS base\nCOPY f /f\nFROM base AS test\nRUN exit 1\nFROM base\n"
         "RUN cat /f > /g\n",
         {"f": "file 644 0:0 1", "g": "file 644 0:0 1"}, {"f": "1"}),
)  # fmt: skip
