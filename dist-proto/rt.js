// src/runtime/gpu.ts
import { create, globals } from "webgpu";

// src/errors.ts
var EXIT = { done: 0, internal: 1, input: 2, noAdapter: 3, doesNotFit: 4, deviceLost: 5 };
var RfmError = class extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
  kind;
  name = "RfmError";
  get exitCode() {
    return EXIT[this.kind];
  }
};

// src/runtime/pool.ts
var USAGE = 128 | 4 | 8;
function pooledSize(bytes) {
  const unit = Math.max(256, 2 ** Math.floor(Math.log2(Math.max(bytes, 1)) - 3));
  return Math.ceil(bytes / unit) * unit;
}
function createPool(device) {
  const free = /* @__PURE__ */ new Map();
  const bytes = { live: 0, pooled: 0, peak: 0 };
  return {
    bytes,
    take(wanted) {
      const limit = Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize);
      if (wanted > limit) {
        throw new RfmError(
          "doesNotFit",
          `a matrix of ${wanted} bytes does not fit: this adapter binds at most ${limit} bytes; use a smaller --n or --width`
        );
      }
      const size = Math.min(pooledSize(wanted), limit - limit % 4);
      const waiting = free.get(size)?.pop();
      if (waiting) bytes.pooled -= size;
      bytes.live += size;
      bytes.peak = Math.max(bytes.peak, bytes.live + bytes.pooled);
      return waiting ?? device.createBuffer({ size, usage: USAGE });
    },
    give(buffer) {
      bytes.live -= buffer.size;
      bytes.pooled += buffer.size;
      const list = free.get(buffer.size);
      if (list) list.push(buffer);
      else free.set(buffer.size, [buffer]);
    },
    trim() {
      for (const list of free.values()) for (const buffer of list) buffer.destroy();
      free.clear();
      bytes.pooled = 0;
    }
  };
}

// src/runtime/gpu.ts
Object.assign(globalThis, globals);
var IMMEDIATE_BYTES = 64;
var liveInstances = /* @__PURE__ */ new Set();
function createInstance() {
  const instance = create(["disable-dawn-features=timestamp_quantization"]);
  liveInstances.add(instance);
  return instance;
}
function releaseInstance(instance) {
  liveInstances.delete(instance);
}
function summarizeAdapter(info) {
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  const software = info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|software|microsoft basic render/i.test(text);
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    type: software ? "software" : "hardware"
  };
}
function describeAdapter(adapter) {
  const name = [adapter.device, adapter.description].filter(Boolean).join(", ") || adapter.vendor || "unnamed";
  return adapter.type === "software" ? `${name} (software, runs on the CPU)` : name;
}
var NO_ADAPTER_HELP = "run `npm run setup` to install a software one, or a Vulkan driver for your GPU; `deep-rfm doctor` tells more";
async function openGpu(options = {}) {
  const choice = options.adapter ?? "auto";
  const instance = createInstance();
  try {
    const adapter = await requestAdapter(instance, choice);
    return await openDevice(instance, adapter);
  } catch (error) {
    releaseInstance(instance);
    throw error;
  }
}
async function requestAdapter(instance, choice) {
  const seen = [];
  for (const powerPreference of ["high-performance", "low-power"]) {
    const adapter = await instance.requestAdapter({ powerPreference });
    if (!adapter) continue;
    const summary = summarizeAdapter(adapter.info);
    if (choice === "auto" || choice === summary.type) return adapter;
    seen.push(describeAdapter(summary));
  }
  if (choice === "software") {
    const adapter = await instance.requestAdapter({ forceFallbackAdapter: true });
    if (adapter) return adapter;
  }
  if (seen.length === 0) throw new RfmError("noAdapter", `no GPU adapter found; ${NO_ADAPTER_HELP}`);
  throw new RfmError(
    "noAdapter",
    `--adapter ${choice}: found only ${[...new Set(seen)].join("; ")}; use --adapter auto to accept it`
  );
}
async function openDevice(instance, adapter) {
  const wanted = ["timestamp-query", "subgroups", "shader-f16"];
  const requiredLimits = {};
  for (const name in adapter.limits) {
    const value = adapter.limits[name];
    if (typeof value === "number") requiredLimits[name] = value;
  }
  requiredLimits.maxImmediateSize = IMMEDIATE_BYTES;
  const device = await adapter.requestDevice({
    requiredFeatures: wanted.filter((name) => adapter.features.has(name)),
    requiredLimits
  });
  let closing = false;
  let lost = null;
  let firstError = null;
  const lostPromise = device.lost.then((info2) => {
    if (!closing) lost = new RfmError("deviceLost", `the GPU device was lost: ${oneLine(info2.message || info2.reason)}`);
  });
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    firstError ??= gpuError("an unguarded call", event.error);
  });
  async function guard(what, calls) {
    if (lost) throw lost;
    for (const filter of ["validation", "out-of-memory", "internal"]) device.pushErrorScope(filter);
    let result;
    let thrown;
    try {
      result = await calls();
    } catch (error2) {
      thrown = error2;
    }
    const errors = await Promise.all([device.popErrorScope(), device.popErrorScope(), device.popErrorScope()]).catch(
      () => []
    );
    await Promise.race([lostPromise, new Promise((resolve) => setImmediate(resolve))]);
    if (lost) throw lost;
    const error = errors.find((e) => e !== null);
    if (error) throw gpuError(what, error);
    if (firstError) throw firstError;
    if (thrown !== void 0) throw thrown;
    return result;
  }
  const info = adapter.info;
  const lanes = device.features.has("subgroups") && info.subgroupMinSize === info.subgroupMaxSize ? info.subgroupMinSize ?? 0 : 0;
  return {
    device,
    adapter: summarizeAdapter(info),
    limits: device.limits,
    features: device.features,
    lanes,
    pool: createPool(device),
    pipelines: /* @__PURE__ */ new Map(),
    guard,
    async close() {
      if (closing) return;
      closing = true;
      device.destroy();
      await lostPromise;
      releaseInstance(instance);
    }
  };
}
function gpuError(what, error) {
  const message = oneLine(error.message);
  if (error instanceof GPUOutOfMemoryError) {
    return new RfmError("doesNotFit", `${what}: the device is out of memory (${message}); use a smaller --n or --width`);
  }
  return new RfmError("internal", `${what}: ${message}`);
}
var oneLine = (text) => text.trim().replace(/\s*\n\s*/g, "; ");

// src/runtime/matrix.ts
var strideOf = (cols) => Math.ceil(cols / 4) * 4;
function allocate(gpu, rows, cols) {
  const stride = strideOf(cols);
  return { rows, cols, stride, buffer: gpu.pool.take(rows * stride * 4) };
}
function release(gpu, ...matrices) {
  for (const matrix of matrices) gpu.pool.give(matrix.buffer);
}
function upload(gpu, rows, cols, data) {
  const matrix = allocate(gpu, rows, cols);
  const { stride } = matrix;
  let padded;
  if (stride === cols && data instanceof Float32Array && data.length === rows * cols) padded = data;
  else {
    padded = new Float32Array(rows * stride);
    for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) padded[i * stride + j] = data[i * cols + j];
  }
  gpu.device.queue.writeBuffer(matrix.buffer, 0, padded.buffer, padded.byteOffset, padded.byteLength);
  return matrix;
}
async function download(gpu, matrix) {
  const { rows, cols, stride } = matrix;
  const raw = new Float32Array(await downloadBytes(gpu, matrix.buffer, rows * stride * 4));
  if (stride === cols) return raw;
  const out = new Float32Array(rows * cols);
  for (let i = 0; i < rows; i++) out.set(raw.subarray(i * stride, i * stride + cols), i * cols);
  return out;
}
async function downloadBytes(gpu, buffer, size) {
  return gpu.guard("reading back", async () => {
    const staging = gpu.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const copy = staging.getMappedRange().slice(0);
    staging.unmap();
    staging.destroy();
    return copy;
  });
}

// src/runtime/batch.ts
var scratch = new DataView(new ArrayBuffer(4));
function f32bits(value) {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}
var ceilDiv = (a, b) => Math.ceil(a / b);
function createBatch(gpu) {
  const recorded = [];
  const temporaries = [];
  return {
    gpu,
    dispatch(kernel, bindings, params, grid) {
      const [x, y = 1, z = 1] = grid;
      if (x === 0 || y === 0 || z === 0) return;
      const limit = gpu.limits.maxComputeWorkgroupsPerDimension;
      if (Math.max(x, y, z) > limit) {
        throw new RfmError("doesNotFit", `${kernel.name}: ${x} \xD7 ${y} \xD7 ${z} workgroups, the adapter allows ${limit} a dimension`);
      }
      const words = new Uint32Array(Math.max(4, Math.ceil(params.length / 4) * 4));
      words.set(params);
      recorded.push({ kernel, bindings: bindings.map((b) => "buffer" in b ? b.buffer : b), params: words, grid });
    },
    temporary(rows, cols) {
      const matrix = allocate(gpu, rows, cols);
      temporaries.push(matrix);
      return matrix;
    },
    async submit() {
      try {
        return await gpu.guard("running on the GPU", () => run(gpu, recorded));
      } finally {
        release(gpu, ...temporaries);
        recorded.length = 0;
        temporaries.length = 0;
      }
    }
  };
}
async function runBatch(gpu, record) {
  const batch = createBatch(gpu);
  record(batch);
  return batch.submit();
}
async function run(gpu, recorded) {
  if (recorded.length === 0) return 0;
  const started = performance.now();
  const pipelines = await Promise.all(recorded.map((d) => pipelineOf(gpu, d.kernel)));
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  recorded.forEach((dispatch, i) => {
    const pipeline = pipelines[i];
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      gpu.device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: dispatch.bindings.map((buffer, binding) => ({ binding, resource: { buffer } }))
      })
    );
    setImmediates(pass, dispatch.params);
    const [x, y, z] = dispatch.grid;
    pass.dispatchWorkgroups(x, y, z);
  });
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  await gpu.device.queue.onSubmittedWorkDone();
  return (performance.now() - started) / 1e3;
}
function setImmediates(pass, words) {
  pass.setImmediates(0, words);
}
function kernelCode(kernel) {
  const header = Object.entries(kernel.constants ?? {}).map(
    ([name, value]) => typeof value === "boolean" ? `const ${name}: bool = ${value};` : `const ${name}: u32 = ${value}u;`
  );
  const lines = [...header, kernel.source];
  const directive = /^\s*(enable|requires)\s[^;]*;\s*$/gm;
  const directives = kernel.source.match(directive) ?? [];
  return [...directives.map((d) => d.trim()), lines.join("\n").replace(directive, "")].join("\n");
}
function pipelineOf(gpu, kernel) {
  const code = kernelCode(kernel);
  let pipeline = gpu.pipelines.get(code);
  if (!pipeline) {
    pipeline = gpu.device.createComputePipelineAsync({
      label: kernel.name,
      layout: "auto",
      compute: { module: gpu.device.createShaderModule({ label: kernel.name, code }) }
    });
    gpu.pipelines.set(code, pipeline);
  }
  return pipeline;
}
export {
  allocate,
  ceilDiv,
  createBatch,
  createInstance,
  describeAdapter,
  download,
  downloadBytes,
  f32bits,
  kernelCode,
  openGpu,
  pipelineOf,
  release,
  releaseInstance,
  runBatch,
  strideOf,
  summarizeAdapter,
  upload
};
