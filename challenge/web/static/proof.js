// Does the work that keeps robots out, while the person waits a moment: ALTCHA v2 with PBKDF2, by the browser itself.
const proveWork = async (server, email) => {
  const asked = await fetch(`${server}/api/v1/signups/proof`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ email }) });
  const { proof: task } = await asked.json();
  if (!task) return "";
  const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  const { nonce, salt, cost, keyPrefix, keyLength } = task.parameters;
  const password = new Uint8Array([...bytes(nonce), 0, 0, 0, 0]), counterAt = new DataView(password.buffer), began = Date.now();
  for (let counter = 0; ; counter += 1) {
    counterAt.setUint32(password.length - 4, counter);
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const bits = await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost }, key, keyLength * 8);
    const derivedKey = [...new Uint8Array(bits)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    if (derivedKey.startsWith(keyPrefix)) return btoa(JSON.stringify({ challenge: task, solution: { counter, derivedKey, time: Date.now() - began } }));
  }
};
