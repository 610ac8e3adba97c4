#!/usr/bin/env bash
# A fake vendor on nginx that costs next to nothing: static pages out, accepted writes in.
#
#   vendor.sh start DIR [PORT] [RECORDS]     vendor.sh stop DIR
#
#   GET  /contacts?page=N&limit=100      {"data": [100 contacts], "next_page": N+1 or null, "total": RECORDS}
#   POST /batch                          {"ok": true}
#   POST, PUT, PATCH, DELETE /one/...    {"ok": true}
#
# Below /left and /right is the same, after people have edited it: on each side another one of a hundred, and on both sides, to different
# names, one of a thousand.
#
# Every write is a line in DIR/writes.log; SIGUSR1 to the process in DIR/pid flushes it. On PORT+1 is the same API at
# 50 requests a second, with 429 and Retry-After past that; all its requests are in DIR/limited.log. Pages are made once per DIR and kept.
set -euo pipefail

usage() {
  sed -n '4s/^# *//p' "$0" >&2
  exit 2
}

(($# >= 2)) || usage
command=$1 port=${3:-9191} records=${4:-100000}
mkdir -p "$2"
dir=$(cd "$2" && pwd)

stop() {
  [[ -s $dir/pid ]] || return 0
  kill "$(<"$dir/pid")" 2>/dev/null || true
  for _ in {1..50}; do
    [[ -e $dir/pid ]] || return 0 # nginx removes it last
    sleep 0.1
  done
  rm -f "$dir/pid"
}

make_pages() {
  [[ -e $dir/pages-2-$records ]] && return
  rm -rf "$dir/www" "$dir"/pages-*
  mkdir -p "$dir/www"
  "${PYTHON:-python3}" - "$dir/www" "$records" <<'PYTHON'
import json
import random
import sys
from pathlib import Path

folder, records = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(7)
pages = (records + 99) // 100


def contact(i):
    return {
        "id": i,
        "email": f"user{i}@example.com",
        "first_name": chance.choice(["Ada", "Grace", "Linus", "Barbara"]),
        "last_name": f"Name{i}",
        "phone": f"+61 400 {i // 1000 % 1000:03d} {i % 1000:03d}",
        "company": {"id": i % 500, "name": f"Company {i % 500}"},
        "status": chance.choice(["new", "qualified", "lost"]),
        "tags": ["a", "b"],
        "score": round(chance.random(), 4),
        "updated_at": f"2026-11-{1 + i % 21:02d}T{i % 24:02d}:{i % 60:02d}:{i // 7 % 60:02d}Z",
    }


def write(name, page, data):
    body = {"data": data, "next_page": page + 1 if page < pages else None, "total": records}
    (folder / f"{name}_{page}.json").write_text(json.dumps(body))


def edited(data, page, row, field, side):
    data = [dict(contact) for contact in data]
    if len(data) > 9:
        data[row][field] += "0"
        if page % 10 == 0:
            data[9]["first_name"] = f"Ada of the {side}"
    return data


for page in range(1, pages + 1):
    data = [contact(i) for i in range((page - 1) * 100, min(page * 100, records))]
    write("page", page, data)
    write("left", page, edited(data, page, 7, "phone", "left"))
    write("right", page, edited(data, page, 8, "last_name", "right"))
PYTHON
  touch "$dir/pages-2-$records"
}

start() {
  stop
  make_pages
  mkdir -p "$dir/tmp"
  : >"$dir/writes.log"
  : >"$dir/limited.log"
  local user=""
  [[ $(id -u) == 0 ]] && user="user $(id -un) $(id -gn);" # else its worker may not read this folder
  cat >"$dir/nginx.conf" <<NGINX
$user
worker_processes 1;
pid "$dir/pid";
error_log "$dir/error.log" crit;
daemon on;
events { worker_connections 2048; }
http {
  log_format write '\$request_method \$request_uri \$status \$content_length';
  map \$request_method \$is_write { default 0; POST 1; PUT 1; PATCH 1; DELETE 1; }
  access_log "$dir/writes.log" write buffer=256k flush=1s if=\$is_write;
  keepalive_requests 100000000;
  client_max_body_size 64m;
  client_body_buffer_size 8m;
  client_body_temp_path "$dir/tmp/body";
  proxy_temp_path "$dir/tmp/proxy";
  fastcgi_temp_path "$dir/tmp/fastcgi";
  uwsgi_temp_path "$dir/tmp/uwsgi";
  scgi_temp_path "$dir/tmp/scgi";
  limit_req_zone \$server_port zone=api:1m rate=50r/s;
  limit_req_status 429;
  server {
    listen 127.0.0.1:$port backlog=4096;
    root "$dir/www";
    default_type application/json;
    location = /contacts {
      if (\$arg_page = '') { rewrite ^ /page_1.json last; }
      rewrite ^ /page_\$arg_page.json last;
    }
    location = /left/contacts {
      if (\$arg_page = '') { rewrite ^ /left_1.json last; }
      rewrite ^ /left_\$arg_page.json last;
    }
    location = /right/contacts {
      if (\$arg_page = '') { rewrite ^ /right_1.json last; }
      rewrite ^ /right_\$arg_page.json last;
    }
    location ~ ^(/left|/right)?/(one|batch) { return 200 '{"ok":true}'; }
  }
  server {
    listen 127.0.0.1:$((port + 1)) backlog=4096;
    access_log "$dir/limited.log" write buffer=256k flush=1s;
    limit_req zone=api burst=5 nodelay;
    error_page 429 @slow;
    location / {
      proxy_pass http://127.0.0.1:$port;
      proxy_http_version 1.1;
    }
    location @slow {
      default_type application/json;
      add_header Retry-After 1 always;
      return 429 '{"error":"rate limited"}';
    }
  }
}
NGINX
  local quiet=()
  nginx -h 2>&1 | grep -q -- '-e filename' && quiet=(-e "$dir/error.log") # since 1.19.5; no complaint about /var/log
  nginx ${quiet[@]+"${quiet[@]}"} -c "$dir/nginx.conf"
  echo "READY http://127.0.0.1:$port"
}

case $command in
  start) start ;;
  stop) stop ;;
  *) usage ;;
esac
