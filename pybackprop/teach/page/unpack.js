// Packed numbers: packed.py says how. Their bits arrive as they are, so bytes are moved, never numbers.
(function (bp) {
  "use strict";

  async function inflated(base64) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /** values: how many different values come first, before a byte for each number; 0: the numbers themselves. */
  async function unpacked({ values, packed }, Numbers) {
    const size = Numbers.BYTES_PER_ELEMENT;
    const shuffled = await inflated(packed);
    const places = shuffled.subarray(values * size);
    const count = values ? places.length : shuffled.length / size;
    const apart = values || count;
    const bytes = new Uint8Array(count * size);
    for (let k = 0; k < count; k++) {
      const at = values ? places[k] : k;
      for (let byte = 0; byte < size; byte++) bytes[k * size + byte] = shuffled[byte * apart + at];
    }
    return new Numbers(bytes.buffer);
  }

  /** The scene with all its numbers: arrays of Numbers where they were packed. */
  bp.unpack = async function (scene) {
    const Numbers = bp.numbersOf(scene);
    const packed = Object.values(scene.tensors).filter(({ data }) => data?.packed !== undefined);
    await Promise.all(
      packed.map(async (tensor) => {
        tensor.data = await unpacked(tensor.data, Numbers);
      }),
    );
    return scene;
  };
})((globalThis.pybackprop ??= {}));
