#!/usr/bin/env bash
# BullMQ: addBulk of more jobs than Redis has room for.
# Guess: all of them are added, or none and an error is thrown; its manual says so.
# Seen (BullMQ 6.7.0, ioredis 6.0.0, Redis 7.0.15 of Debian 12, maxmemory 2 MB, noeviction): the call throws OOM, and most of
# the jobs are in the queue (2,466 of 3,000), where a worker takes them. Each script is refused by itself. Who wants all or
# none takes the rest back.
# Needs Debian 12 with its security updates, and the libraries that Redis links to.
set -euo pipefail
work=$(mktemp -d)
trap 'if [[ -n ${redis:-} ]]; then kill $redis; wait $redis || true; fi; rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts bullmq@6.7.0 ioredis@6.0.0
apt-get download redis-tools=5:7.0.15-1~deb12u10 liblzf1=3.6-3 libjemalloc2=5.3.0-1 liblua5.1-0=5.1.5-9 >/dev/null 2>&1
for package in *.deb; do dpkg-deb -x "$package" debian; done
export LD_LIBRARY_PATH="$work/debian/usr/lib/x86_64-linux-gnu"
port=$((20000 + $$ % 10000))
ln -s redis-check-rdb debian/usr/bin/redis-server
debian/usr/bin/redis-server --port $port --bind 127.0.0.1 --save '' --maxmemory 2000000 --maxmemory-policy noeviction >/dev/null &
redis=$!
cat > run.mjs <<'JS'
import { Queue } from 'bullmq';
const queue = new Queue('all-or-none', { connection: { host: '127.0.0.1', port: Number(process.argv[2]) } });
await queue.waitUntilReady();
const jobs = Array.from({ length: 3000 }, (_, i) => ({ name: 'job', data: { i } }));
const answer = await queue.addBulk(jobs).then(() => 'added', (error) => error.message.split(' ')[0]);
console.log(answer, await queue.getWaitingCount());
await queue.close();
JS
read -r answer waiting <<< "$(node run.mjs $port)"
echo "addBulk of 3000: $answer, $waiting jobs wait"
[[ $answer == OOM && $waiting -gt 0 && $waiting -lt 3000 ]] ||
  { echo 'changed: expected OOM, and some of the jobs in the queue' >&2; exit 1; }
