// Gives the page what a microphone hears, as the mean of its channels. It runs where sound is computed.

registerProcessor("tap", class extends AudioWorkletProcessor {
  process([channels]) {
    if (channels.length) {
      this.port.postMessage(Float32Array.from(channels[0], (_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length));
    }
    return true;
  }
});
