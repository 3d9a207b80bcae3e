// Whether a bundle's files are as `kzoo export` wrote them: SHA-256 (FIPS 180-4), and the places in
// kzoo.json where the checksums stand. The seal is that of kzoo.json with 64 zeros in its own place, so
// once it fits, the text is kzoo's own and may be searched instead of parsed.
#pragma once
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

inline uint32_t rotated(uint32_t value, int by) { return value >> by | value << (32 - by); }

// The first 32 bits behind the point of a prime's square or cube root, in whole numbers.
inline uint32_t root_bits(uint64_t prime, int power) {
  unsigned __int128 wanted = prime, low = 0, high = uint64_t{1} << 40;
  wanted <<= 32 * power;
  while (high - low > 1) {
    const unsigned __int128 middle = (low + high) / 2;
    (power == 2 ? middle * middle : middle * middle * middle) <= wanted ? low = middle : high = middle;
  }
  return static_cast<uint32_t>(low);
}

inline std::string sha256(std::string data) {
  std::array<uint32_t, 64> constants;
  std::array<uint32_t, 8> state;
  for (uint32_t prime = 2, count = 0; count < 64; prime++) {
    bool is_prime = true;
    for (uint32_t i = 2; i * i <= prime; i++) is_prime = is_prime && prime % i;
    if (!is_prime) continue;
    if (count < 8) state[count] = root_bits(prime, 2);
    constants[count++] = root_bits(prime, 3);
  }
  const uint64_t bits = uint64_t{data.size()} * 8;
  data.push_back('\x80');
  data.resize((data.size() + 8 + 63) / 64 * 64, '\0');
  for (int i = 0; i < 8; i++) data[data.size() - 1 - i] = static_cast<char>(bits >> 8 * i);
  for (size_t block = 0; block < data.size(); block += 64) {
    std::array<uint32_t, 64> words{};
    for (int i = 0; i < 64; i++)
      words[i / 4] = words[i / 4] << 8 | static_cast<uint8_t>(data[block + i]);
    for (int i = 16; i < 64; i++) {
      const uint32_t a = words[i - 15], b = words[i - 2];
      words[i] = words[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + words[i - 7] +
                 (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (int i = 0; i < 64; i++) {
      const uint32_t one = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) +
                           constants[i] + words[i];
      const uint32_t two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + one, d = c, c = b, b = a, a = one + two;
    }
    const std::array<uint32_t, 8> added = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) state[i] += added[i];
  }
  std::string hex;
  for (uint32_t word : state)
    for (int shift = 28; shift >= 0; shift -= 4) hex += "0123456789abcdef"[word >> shift & 15];
  return hex;
}

inline bool read_file(const std::string& path, std::string& data) {
  std::ifstream file(path, std::ios::binary);
  if (!file || file.peek() == std::ifstream::traits_type::eof()) return false;
  data.assign(std::istreambuf_iterator<char>(file), {});
  return true;
}

// What stands in the line of kzoo.json that begins with `mark`, of a bundle whose seal fits; "" if
// there is no such line.
inline std::string entry(const std::string& bundle, const std::string& mark) {
  std::string text;
  const size_t place = read_file(bundle + "/kzoo.json", text) ? text.find('\n' + mark) : std::string::npos;
  if (place == std::string::npos) return "";
  const size_t start = place + 1 + mark.size(), end = text.find('\n', start);
  return text.substr(start, end - start - (text[end - 1] == ',' ? 1 : 0));
}

// How many tokens a bundle reads at most, whose seal fits.
inline size_t max_length(const std::string& bundle) {
  return std::strtoul(entry(bundle, " \"max_length\": ").c_str(), nullptr, 10);
}

// Of a classifier's bundle whose seal fits what its logits stand for: "single_label", as in all of
// format 1, "multi_label" or "regression".
inline std::string problem(const std::string& bundle) {
  const std::string quoted = entry(bundle, "  \"problem\": ");
  return quoted.size() > 2 ? quoted.substr(1, quoted.size() - 2) : "single_label";
}

// The least probability of a label that answers, where a text may have several.
inline double threshold(const std::string& bundle) {
  const std::string number = entry(bundle, "  \"threshold\": ");
  return number.empty() ? 0.5 : std::strtod(number.c_str(), nullptr);
}

// What is wrong with the files of a bundle, as a sentence without its full stop; "" if nothing is.
inline std::string broken_seal(const std::string& bundle, std::initializer_list<const char*> names) {
  std::string text, data;
  const std::string manifest = bundle + "/kzoo.json", mark = "\"seal\": \"";
  if (!read_file(manifest, text)) return manifest + " is missing or empty: a bundle was expected";
  const size_t place = text.rfind(mark);
  std::string seal = place == std::string::npos ? "" : text.substr(place + mark.size(), 64);
  std::string unsealed = text;
  if (seal.size() == 64) unsealed.replace(place + mark.size(), 64, 64, '0');
  if (sha256(unsealed) != seal) return manifest + " was changed after the export, its seal doesn't fit: export anew";
  const auto is_of_format = [&](const char* number) {
    return text.find("\n \"format\": " + std::string(number) + ',') != std::string::npos;
  };
  if (!is_of_format("1") && !is_of_format("2") && !is_of_format("3"))
    return manifest + " is of another format than 1 to 3, which this program reads: export anew";
  for (const char* name : names) {
    const size_t files = text.rfind("\n \"files\": {"), entry = text.find('"' + std::string(name) + "\": {", files);
    const size_t sum = text.find("\"sha256\": \"", entry);
    if (entry == std::string::npos || sum == std::string::npos)
      return bundle + " was written without " + name + ": the bundle of a classifier was expected";
    if (!read_file(bundle + '/' + name, data)) return bundle + '/' + name + " is missing or empty: export anew";
    if (sha256(data) != text.substr(sum + 11, 64))
      return bundle + '/' + name + " was changed after the export, its SHA-256 is another: export anew";
  }
  return "";
}
