"""Images as people make them, with real compilers and interpreters: by hand only, on a base of Debian's packages.

    debootstrap --variant=minbase --include=gcc,libc6-dev,make,python3,python3-venv,nodejs,nginx-light bookworm ROOT
    python -m tests.bench.compare_builds --debian ROOT

What they have to give is what Docker gives. Nothing in them depends on the time, and they need no network.
"""

from tests.integration.build.corpus.corpus_case import Case

_SETUP = 'from setuptools import setup\nsetup(name="hello", version="1", py_modules=["hello"])\n'
_MAIN_C = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'
_MAKEFILE = "all: hello\nhello: main.o\n\t$(CC) -o $@ $^\ninstall: hello\n\tinstall -D hello $(DESTDIR)/usr/bin/hello\n"

CASES = (
    Case("python-with-a-venv",
         "FROM $BASE AS build\nENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_COMPILE=1 PIP_NO_CACHE_DIR=1\n"
         "RUN python3 -m venv /venv\nCOPY app /src\n"
         "RUN /venv/bin/pip install --no-index --no-build-isolation /src "
         "&& find /venv -name __pycache__ -prune -exec rm -r {} +\n"
         "FROM $BASE\nCOPY --from=build /venv /venv\nENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1\n"
         'RUN python -c "import hello" > /out\nUSER nobody\nCMD ["python", "-m", "hello"]\n',
         context={"app/": "", "app/setup.py": _SETUP, "app/hello.py": 'print("hello")\n'}),
    Case("node", "FROM $BASE AS build\nWORKDIR /app\nCOPY package.json .\nCOPY src src\n"
         "RUN node src/build.js\nFROM $BASE\nWORKDIR /app\nENV NODE_ENV=production\n"
         'COPY --from=build --chown=nobody /app/dist ./dist\nUSER nobody\nCMD ["node", "dist/main.js"]\n',
         context={"package.json": '{"name": "x"}', "src/": "",
                  "src/build.js": "const fs = require('fs'); fs.mkdirSync('dist');"
                  "fs.writeFileSync('dist/main.js', 'console.log(1)\\n', {mode: 0o750});\n"}),
    Case("static-program-on-scratch", "FROM $BASE AS build\nWORKDIR /src\nCOPY main.c .\n"
         "RUN gcc -O2 -static -o /hello main.c\nFROM scratch\nCOPY --from=build /hello /hello\n"
         'COPY --from=build /etc/passwd /etc/passwd\nUSER 65534\nENTRYPOINT ["/hello"]\n', context={"main.c": _MAIN_C}),
    Case("c-with-make", "FROM $BASE AS build\nWORKDIR /src\nCOPY . .\nRUN make && make install DESTDIR=/out\n"
         "FROM $BASE\nCOPY --from=build /out/ /\nRUN hello > /hello.txt\nCMD hello\n",
         context={"Makefile": _MAKEFILE, "main.c": _MAIN_C}),
    Case("nginx-with-files", "FROM $BASE\nRUN rm /etc/nginx/sites-enabled/default "
         "&& ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log\n"
         "COPY site.conf /etc/nginx/sites-enabled/\nCOPY html/ /var/www/html/\nRUN nginx -t && rm -f /run/nginx.pid\n"
         'EXPOSE 80\nSTOPSIGNAL SIGQUIT\nCMD ["nginx", "-g", "daemon off;"]\n',
         context={"site.conf": "server { listen 80; root /var/www/html; }\n", "html/": "", "html/index.html": "<p>"}),
)  # fmt: skip
