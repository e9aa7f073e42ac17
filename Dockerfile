# Asgard in a container. It listens on loopback alone, so it is reached with --network host, or by a
# proxy that shares its network namespace:
#
#   docker build -t asgard .
#   docker run --network host --volume asgard:/data asgard
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM ${BASE}
RUN useradd --system --uid 990 --create-home asgard \
    && mkdir /data && chown asgard:asgard /data
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl
USER asgard
ENV ASGARD_DATA_DIR=/data \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
ENTRYPOINT ["asgard"]
# The container's end would end running jobs: on SIGTERM they are waited for. Docker kills after
# 10 s unless told otherwise: docker run --stop-timeout 3600.
CMD ["serve", "--drain"]
