# Asgard in a container:
#
#   docker build -t asgard .
#   docker run --publish 8000:8000 --volume asgard:/data --stop-timeout 3700 asgard
#
# The first start prints an administrator's token, or takes it from ASGARD_INITIAL_TOKEN_FILE.
#
# BASE is any Debian or Ubuntu image with Python 3.11 or newer and its venv module, for instance
# Docker's Python image or one with Debian's python3. Asgard is installed into /opt/asgard.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check uv \
    && python3 -m venv --without-pip /opt/asgard
# Dependencies first: a change to Asgard's source does not install or ship them again.
COPY setup.cfg /src/
RUN python3 -c "import configparser as c; p = c.ConfigParser(); p.read('/src/setup.cfg'); \
        print(p['options']['install_requires'])" > /src/requirements.txt \
    && /opt/build/bin/uv pip install --python /opt/asgard --no-cache --compile-bytecode \
        --requirements /src/requirements.txt
COPY . /src
RUN /opt/build/bin/uv build --no-cache --wheel --out-dir /wheels /src

FROM ${BASE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && groupadd --system --gid 990 asgard \
    && useradd --system --uid 990 --gid asgard --create-home asgard \
    && install --directory --owner asgard --group asgard --mode 0700 /data
COPY --from=build /opt/asgard /opt/asgard
# with the uv that Asgard depends on
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    /opt/asgard/bin/uv pip install --python /opt/asgard --no-cache --no-index --no-deps \
        --compile-bytecode /wheels/*.whl
USER 990:990
ENV PATH=/opt/asgard/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    ASGARD_DATA_DIR=/data \
    ASGARD_SERVER__HOST=0.0.0.0
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-I", "-c", \
    "import os, urllib.request as u; port = os.environ.get('ASGARD_SERVER__PORT', '8000'); u.urlopen(f'http://127.0.0.1:{port}/health/live', timeout=3)"]
# tini is process 1 and reaps; it forwards signals to the service only, never to the jobs.
ENTRYPOINT ["tini", "--", "asgard"]
# Jobs end with their container, so SIGTERM waits for them. Docker kills after 10 s by default; see
# --stop-timeout above.
CMD ["serve", "--drain", "--initial-token"]
