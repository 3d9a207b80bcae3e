// A text classifier's bundle in C++, with LiteRT's C API alone.
//     classify BUNDLE ID...      token ids with their special tokens, as kzoo.json has them in "golden"
// Prints for each label the label, its probability and its logit, with tabs between. Where a text may
// have several labels, "yes" or "no" follows: whether the probability reaches the bundle's threshold. In
// regression the value stands in place of a probability. What is wrong is one sentence on standard error
// and exit code 2; seal.h checks that the files are as they were written.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "litert.h"
#include "seal.h"

static FILE* const console = fdopen(dup(STDERR_FILENO), "w");

[[noreturn]] static void fail(const std::string& sentence) {
  std::fprintf(console, "error: %s.\n", sentence.c_str());
  std::exit(2);
}

static void check(LiteRtStatus status, const std::string& sentence) {
  if (status != 0) fail(sentence + " (LiteRT's status " + std::to_string(status) + ")");
}

static std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(path + " is missing: the bundle of a classifier was expected");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// A label in a column of a table: kzoo gives none with a control character, but older bundles may.
static void check_shown(const std::string& label, const std::string& path) {
  for (unsigned char each : label)
    if (each < ' ' || each == 0x7f)
      fail(path + " holds a label with a control character, which no table shows: export with another name");
}

static int32_t read_id(const char* text) {
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*text < '0' || *text > '9' || *end || value < 0 || value > INT32_MAX)
    fail(std::string(text).substr(0, 40) + " is no token id: whole numbers from 0 were expected");
  return static_cast<int32_t>(value);
}

int main(int count, char** arguments) {
  if (count < 3) fail("A bundle and token ids are expected: classify BUNDLE ID");
  if (!std::freopen("/dev/null", "w", stderr)) fail("Standard error can't be closed");  // LiteRT's log
  const std::string bundle = arguments[1], file = bundle + "/model.tflite";
  const std::string broken = broken_seal(bundle, {"model.tflite", "labels.txt"});
  if (!broken.empty()) fail(broken);
  const std::vector<std::string> labels = read_lines(bundle + "/labels.txt");
  for (const std::string& label : labels) check_shown(label, bundle + "/labels.txt");
  const std::string asked = problem(bundle);
  if (asked != "single_label" && asked != "multi_label" && asked != "regression")
    fail(bundle + "/kzoo.json has the problem " + asked + ", and this program knows none: take a newer one");
  std::vector<int32_t> ids;
  for (int i = 2; i < count; i++) ids.push_back(read_id(arguments[i]));
  if (ids.size() > max_length(bundle))
    fail(std::to_string(ids.size()) + " token ids came: at most " + std::to_string(max_length(bundle)) +
         " are expected, as " + bundle + "/kzoo.json says");
  const int tokens = static_cast<int>(ids.size()), width = static_cast<int>(labels.size());

  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtSignature signature;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  LiteRtParamIndex inputs = 0, outputs = 0;
  check(LiteRtCreateEnvironment(0, nullptr, &environment), "LiteRT doesn't start");
  check(LiteRtCreateModelFromFile(environment, file.c_str(), &model), file + " is missing or no model");
  check(LiteRtGetModelSignature(model, 0, &signature), file + " has no signature");
  check(LiteRtGetNumSignatureInputs(signature, &inputs), file + " has no inputs");
  check(LiteRtGetNumSignatureOutputs(signature, &outputs), file + " has no outputs");
  check(LiteRtCreateOptions(&options), "LiteRT has no memory left");
  check(LiteRtSetOptionsHardwareAccelerators(options, kCpu), "LiteRT doesn't run on the processor");
  check(LiteRtCreateCompiledModel(environment, model, options, &compiled), file + " can't be run");

  const char* name = nullptr;
  LiteRtTensor tensor;
  LiteRtRankedTensorType type = {};
  void* memory = nullptr;
  std::vector<LiteRtTensorBuffer> columns(inputs);
  for (LiteRtParamIndex i = 0; i < inputs; i++) {
    check(LiteRtGetSignatureInputName(signature, i, &name), file + " has an input without a name");
    check(LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor), file + " lacks an input");
    check(LiteRtGetRankedTensorType(tensor, &type), file + " has an input without a shape");
    const bool is_ids = !std::strcmp(name, "token_ids"), is_mask = !std::strcmp(name, "padding_mask");
    if ((!is_ids && !is_mask && std::strcmp(name, "segment_ids")) || type.element_type != kInt32)
      fail(file + " wants the input " + name + ": token_ids, padding_mask and segment_ids were expected");
    int& length = type.layout.dimensions[1];
    if (length < 0) {  // A file of any length takes the text's; one of fixed length gets padding.
      const int shape[] = {1, length = tokens};
      check(LiteRtCompiledModelResizeInputTensor(compiled, 0, i, shape, 2), file + " refuses the length");
    }
    if (tokens > length)
      fail(std::to_string(tokens) + " ids came; " + file + " takes " + std::to_string(length));
    check(LiteRtCreateManagedTensorBuffer(environment, kHostMemory, &type, 4 * length, &columns[i]),
          "There is no memory for the inputs");
    check(LiteRtLockTensorBuffer(columns[i], &memory, kWrite), "The inputs can't be written");
    for (int j = 0; j < length; j++)
      static_cast<int32_t*>(memory)[j] = j >= tokens ? 0 : is_ids ? ids[j] : is_mask;
    check(LiteRtUnlockTensorBuffer(columns[i]), "The inputs can't be written");
  }

  LiteRtTensorBuffer answer;
  check(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor), file + " lacks its output");
  check(LiteRtGetRankedTensorType(tensor, &type), file + " has an output without a shape");
  check(LiteRtGetCompiledModelOutputTensorLayouts(compiled, 0, 1, &type.layout, true),
        file + " doesn't take this length");  // The shape in the file may be open; this one is not.
  if (outputs != 1 || type.element_type != kFloat32 || type.layout.rank != 2)
    fail(file + " is no text classifier: one row of logits was expected as its output");
  if (type.layout.dimensions[1] != width)
    fail(bundle + "/labels.txt holds " + std::to_string(width) + " labels, and the model's output has " +
         std::to_string(type.layout.dimensions[1]) + " numbers: one label for each was expected");
  check(LiteRtCreateManagedTensorBuffer(environment, kHostMemory, &type, 4 * width, &answer),
        "There is no memory for the output");
  check(LiteRtRunCompiledModel(compiled, 0, inputs, columns.data(), 1, &answer),
        "The model refuses these ids: ids of its vocabulary, and no more than it has places, were expected");
  check(LiteRtLockTensorBuffer(answer, &memory, kRead), "The output can't be read");

  const std::vector<double> logits(static_cast<float*>(memory), static_cast<float*>(memory) + width);
  const double largest = *std::max_element(logits.begin(), logits.end());
  double whole = 0;
  for (double logit : logits) whole += std::exp(logit - largest);
  for (int i = 0; i < width; i++) {
    const double alone = 1 / (1 + std::exp(-logits[i]));
    if (asked == "regression") {
      std::printf("%s\t%.7g\t%.7g\n", labels[i].c_str(), logits[i], logits[i]);
    } else if (asked == "multi_label") {
      const char* answers = alone >= threshold(bundle) ? "yes" : "no";
      std::printf("%s\t%.7g\t%.7g\t%s\n", labels[i].c_str(), alone, logits[i], answers);
    } else {
      const double share = width == 1 ? alone : std::exp(logits[i] - largest) / whole;
      std::printf("%s\t%.7g\t%.7g\n", labels[i].c_str(), share, logits[i]);
    }
  }
}
