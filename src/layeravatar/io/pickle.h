// Python's pickles, read as data. Nothing in a file is executed: the machine knows a closed list of names, each of which
// stands for a plain container, a NumPy array or (for torch_file.h) a tensor.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "layeravatar/io/array.h"

namespace layeravatar::io {

struct PickleNode;

/// A handle on one value of a pickle; copies are cheap and keep the whole pickle alive. Values do not change and hold no
/// cycles; the same value may stand in several places. A question that does not suit the kind is Error(kInternal).
class PickleValue {
 public:
  enum class Kind : std::uint8_t { kNone, kBool, kInteger, kReal, kText, kBytes, kList, kTuple, kSet, kDict, kArray, kObject };

  PickleValue() = default;  // none
  explicit PickleValue(std::shared_ptr<const PickleNode> node) : node_(std::move(node)) {}

  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is(Kind wanted) const { return kind() == wanted; }

  [[nodiscard]] bool boolean() const;
  [[nodiscard]] std::int64_t integer() const;
  /// Of a real number or an integer.
  [[nodiscard]] double real() const;
  /// UTF-8. The strings of Python 2 are taken as latin-1.
  [[nodiscard]] std::string_view text() const;
  [[nodiscard]] std::string_view bytes() const;
  /// NumPy arrays, tensors, sparse matrices (made dense) and chumpy's arrays.
  [[nodiscard]] const Array& array() const;

  /// Items of a list, tuple or set, or pairs of a dict, in the order of the file.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] PickleValue item(std::size_t i) const;
  [[nodiscard]] PickleValue key(std::size_t i) const;
  [[nodiscard]] PickleValue value(std::size_t i) const;
  [[nodiscard]] bool contains(std::string_view key) const;
  /// The value of a text key of a dict; none where there is no such key.
  [[nodiscard]] PickleValue find(std::string_view key) const;

  /// "torch.float32": what else the closed list allows, kept by name and state (none without one).
  [[nodiscard]] std::string_view class_name() const;
  [[nodiscard]] PickleValue state() const;

 private:
  [[nodiscard]] PickleValue handle(const PickleNode* node) const { return PickleValue({node_, node}); }
  std::shared_ptr<const PickleNode> node_;
};
/// "dict", "text", ...
const char* name_of(PickleValue::Kind kind);

/// What a file may make us build. The readers also check every size against the bytes that are left before they allocate.
struct PickleLimits {
  std::uint64_t objects = 1U << 22U;
  std::uint64_t memo = 1U << 22U;
  std::uint64_t depth = 200;             // containers within containers
  std::uint64_t expanded = 1U << 24U;    // values, where one in several places counts as several
  std::uint64_t text_bytes = 1U << 28U;  // of one text
  /// Of all arrays and converted strings together; four times the file where that is more.
  std::uint64_t array_bytes = 1U << 30U;
};

/// A storage of torch.save, as a pickle names it.
struct StorageName {
  DType dtype = DType::kF32;
  std::string key;
  std::int64_t count = 0;  // elements
};

struct PickleOptions {
  PickleLimits limits;
  std::uint64_t file_bytes = 0;  // where the pickle is a part of a larger file
  bool swap_storages = false;    // they are big-endian
  /// The bytes of a storage, alive until the parser returns. Empty: a plain pickle, without tensors.
  std::function<std::string_view(const StorageName&)> storage;
};

/// Protocols 0 to 5; bytes behind the pickle are ignored. Allowed names, everything else is refused:
///   numpy[.core|._core].multiarray._reconstruct / scalar, numpy.ndarray / dtype, numpy[.core|._core].numeric._frombuffer,
///   trimesh.caching|util.TrackedArray, scipy.sparse csc_matrix and csr_matrix, chumpy.ch.Ch, chumpy.reordering.*,
///   _codecs.encode, copyreg._reconstructor, builtins object / set / frozenset / bytes / bytearray, collections.OrderedDict,
///   torch._utils._rebuild_tensor / _v2 / _v3 / _rebuild_parameter, torch.*Storage, torch.Size / device / float32, ...
/// `file` names the source in messages. Throws Error(kInput): "<file>: not a pickle", "<file>: corrupt pickle at byte n
/// (<reason>)", "<file>: refusing to load 'module.name' from a pickle", "<file>: array of Python objects is not supported",
/// "<file>: pickle with more than n <what>". Integers beyond 64 bits, cycles and extension codes are refused.
PickleValue parse_pickle(std::string_view bytes, const std::string& file, const PickleOptions& options = {});
PickleValue read_pickle(const std::filesystem::path& path, const PickleLimits& limits = {});

/// Calls `visit` with every value that is no list, tuple, set or dict of its own, and with empty ones, in the order of the
/// file. Its name joins keys and indices with dots, "optimizer.state.0.step"; the name of a bare value is empty.
void for_each_leaf(const PickleValue& value, const std::function<void(const std::string& name, const PickleValue& leaf)>& visit);

/// All arrays by their names, other leaves left out. Throws Error(kInput) when a name occurs twice or is longer than 1024
/// bytes, and when there are more than 2^18 arrays or shared ones multiply beyond four times their size.
ArrayMap flatten_arrays(const PickleValue& value, const std::string& file);

}  // namespace layeravatar::io
