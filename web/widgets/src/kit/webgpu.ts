// The product of two square matrices on the visitor's GPU, where the browser lets pages use it.

// Flags by the WebGPU specification, section "Buffer usages"; the types of TypeScript lack them.
const [MAP_READ, COPY_SRC, COPY_DST, UNIFORM, STORAGE] = [0x1, 0x4, 0x8, 0x40, 0x80];
const READ = 0x1; // of GPUMapMode

const TILE = 16; // rows and columns a group of threads keeps in its fast memory

const SHADER = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> product: array<f32>;
@group(0) @binding(3) var<uniform> n: u32;
var<workgroup> of_a: array<array<f32, ${TILE}>, ${TILE}>;
var<workgroup> of_b: array<array<f32, ${TILE}>, ${TILE}>;

@compute @workgroup_size(${TILE}, ${TILE})
fn main(@builtin(global_invocation_id) place: vec3<u32>, @builtin(local_invocation_id) here: vec3<u32>) {
  var total = 0.0;
  for (var tile = 0u; tile < n; tile += ${TILE}u) {
    of_a[here.y][here.x] = a[place.y * n + tile + here.x];
    of_b[here.y][here.x] = b[(tile + here.y) * n + place.x];
    workgroupBarrier();
    for (var k = 0u; k < ${TILE}u; k++) { total += of_a[here.y][k] * of_b[k][here.x]; }
    workgroupBarrier();
  }
  product[place.y * n + place.x] = total;
}`;

export interface Multiplier {
  name: string;
  /** Does the product so many times; resolves when the last one is there. */
  multiply(n: number, times: number): Promise<void>;
  /** The product of two matrices, n a multiple of 16. */
  product(a: Float32Array<ArrayBuffer>, b: Float32Array<ArrayBuffer>, n: number): Promise<Float32Array>;
}

/** The GPU, or null where there is none that a page may use. */
export async function openGpu(): Promise<Multiplier | null> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return null;
  const device = await adapter.requestDevice();
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: SHADER }), entryPoint: "main" },
  });
  const buffer = (bytes: number, usage: number) => device.createBuffer({ size: bytes, usage });

  function prepare(a: Float32Array<ArrayBuffer>, b: Float32Array<ArrayBuffer>, n: number) {
    const bytes = 4 * n * n;
    const buffers = [
      buffer(bytes, STORAGE | COPY_DST),
      buffer(bytes, STORAGE | COPY_DST),
      buffer(bytes, STORAGE | COPY_SRC),
      buffer(16, UNIFORM | COPY_DST),
    ];
    device.queue.writeBuffer(buffers[0], 0, a);
    device.queue.writeBuffer(buffers[1], 0, b);
    device.queue.writeBuffer(buffers[3], 0, new Uint32Array([n, 0, 0, 0]));
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map((each, binding) => ({ binding, resource: { buffer: each } })),
    });
    const encode = (times: number) => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < times; i++) pass.dispatchWorkgroups(n / TILE, n / TILE);
      pass.end();
      return encoder;
    };
    return { bytes, buffers, encode, free: () => buffers.forEach((each) => each.destroy()) };
  }

  let held: { n: number; work: ReturnType<typeof prepare> } | null = null;
  const { vendor, architecture } = adapter.info;
  return {
    name: ["Your browser's GPU", [vendor, architecture].filter(Boolean).join(" ")].filter(Boolean).join(": "),
    async multiply(n, times) {
      if (held?.n !== n) {
        held?.work.free();
        held = { n, work: prepare(new Float32Array(n * n).fill(0.5), new Float32Array(n * n).fill(0.5), n) };
      }
      device.queue.submit([held.work.encode(times).finish()]);
      await device.queue.onSubmittedWorkDone();
    },
    async product(a, b, n) {
      const work = prepare(a, b, n);
      const read = buffer(work.bytes, MAP_READ | COPY_DST);
      const encoder = work.encode(1);
      encoder.copyBufferToBuffer(work.buffers[2], 0, read, 0, work.bytes);
      device.queue.submit([encoder.finish()]);
      await read.mapAsync(READ);
      const result = new Float32Array(read.getMappedRange().slice(0));
      work.free();
      return result;
    },
  };
}
