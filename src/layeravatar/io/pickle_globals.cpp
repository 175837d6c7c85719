// The closed list of names, and what calling them or setting their state builds.
#include <algorithm>
#include <limits>
#include <utility>

#include "layeravatar/io/npy_elements.h"
#include "layeravatar/io/pickle_arrays.h"
#include "layeravatar/io/pickle_machine.h"
#include "layeravatar/io/pickle_text.h"

namespace layeravatar::io {
namespace {
constexpr std::size_t kMaxName = 256;   // of modules, classes, encodings, devices
constexpr std::size_t kMaxDescr = 16;   // "<f4"
constexpr std::size_t kMaxRank = 64;

constexpr PickleGlobal kGlobals[] = {
    {"numpy.core.multiarray", "_reconstruct", PickleRole::kReconstructArray},
    {"numpy._core.multiarray", "_reconstruct", PickleRole::kReconstructArray},
    {"numpy.core.multiarray", "scalar", PickleRole::kScalar},
    {"numpy._core.multiarray", "scalar", PickleRole::kScalar},
    {"numpy", "ndarray", PickleRole::kNdArray},
    {"numpy", "dtype", PickleRole::kElementType},
    {"numpy.core.numeric", "_frombuffer", PickleRole::kFromBuffer},
    {"numpy._core.numeric", "_frombuffer", PickleRole::kFromBuffer},
    {"trimesh.caching", "TrackedArray", PickleRole::kNdArray},
    {"trimesh.util", "TrackedArray", PickleRole::kNdArray},
    {"scipy.sparse.csc", "csc_matrix", PickleRole::kSparseColumns},
    {"scipy.sparse._csc", "csc_matrix", PickleRole::kSparseColumns},
    {"scipy.sparse.csr", "csr_matrix", PickleRole::kSparseRows},
    {"scipy.sparse._csr", "csr_matrix", PickleRole::kSparseRows},
    {"chumpy.ch", "Ch", PickleRole::kChumpy},
    {"chumpy.reordering", "", PickleRole::kChumpy},
    {"_codecs", "encode", PickleRole::kEncode},
    {"copy_reg", "_reconstructor", PickleRole::kReconstructor},
    {"copyreg", "_reconstructor", PickleRole::kReconstructor},
    {"__builtin__", "object", PickleRole::kObject},
    {"builtins", "object", PickleRole::kObject},
    {"__builtin__", "set", PickleRole::kSet},
    {"builtins", "set", PickleRole::kSet},
    {"__builtin__", "frozenset", PickleRole::kSet},
    {"builtins", "frozenset", PickleRole::kSet},
    {"__builtin__", "bytes", PickleRole::kBytes},
    {"builtins", "bytes", PickleRole::kBytes},
    {"__builtin__", "bytearray", PickleRole::kBytes},
    {"builtins", "bytearray", PickleRole::kBytes},
    {"collections", "OrderedDict", PickleRole::kOrderedDict},
    {"torch._utils", "_rebuild_tensor", PickleRole::kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", PickleRole::kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v3", PickleRole::kRebuildTensorV3},
    {"torch._utils", "_rebuild_parameter", PickleRole::kRebuildParameter},
    {"torch", "FloatStorage", PickleRole::kStorage, DType::kF32},
    {"torch", "HalfStorage", PickleRole::kStorage, DType::kF16},
    {"torch", "BFloat16Storage", PickleRole::kStorage, DType::kBF16},
    {"torch", "DoubleStorage", PickleRole::kStorage, DType::kF64},
    {"torch", "LongStorage", PickleRole::kStorage, DType::kI64},
    {"torch", "IntStorage", PickleRole::kStorage, DType::kI32},
    {"torch", "ShortStorage", PickleRole::kStorage, DType::kI16},
    {"torch", "CharStorage", PickleRole::kStorage, DType::kI8},
    {"torch", "ByteStorage", PickleRole::kStorage, DType::kU8},
    {"torch", "BoolStorage", PickleRole::kStorage, DType::kBool},
    {"torch", "UntypedStorage", PickleRole::kStorage, DType::kU8},
    {"torch.storage", "UntypedStorage", PickleRole::kStorage, DType::kU8},
    {"torch", "Size", PickleRole::kSize},
    {"torch", "device", PickleRole::kDevice},
    {"torch", "float32", PickleRole::kTorchType, DType::kF32},
    {"torch", "float64", PickleRole::kTorchType, DType::kF64},
    {"torch", "float16", PickleRole::kTorchType, DType::kF16},
    {"torch", "bfloat16", PickleRole::kTorchType, DType::kBF16},
    {"torch", "int8", PickleRole::kTorchType, DType::kI8},
    {"torch", "int16", PickleRole::kTorchType, DType::kI16},
    {"torch", "int32", PickleRole::kTorchType, DType::kI32},
    {"torch", "int64", PickleRole::kTorchType, DType::kI64},
    {"torch", "uint8", PickleRole::kTorchType, DType::kU8},
    {"torch", "uint16", PickleRole::kTorchType, DType::kU16},
    {"torch", "uint32", PickleRole::kTorchType, DType::kU32},
    {"torch", "uint64", PickleRole::kTorchType, DType::kU64},
    {"torch", "bool", PickleRole::kTorchType, DType::kBool}};

// A name for a message: no line ends or other bytes that a terminal would act upon.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxName)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}
}  // namespace

PickleNode* PickleMachine::find_global(std::string_view module, std::string_view name) {
  for (std::size_t i = 0; i < std::size(kGlobals); ++i) {
    const PickleGlobal& global = kGlobals[i];
    if (global.module == module && (global.name == name || global.name.empty())) {
      return add(Kind::kGlobal, static_cast<std::int64_t>(i));
    }
  }
  const std::string whole = printable(module) + "." + printable(name);
  const bool words = std::all_of(whole.begin(), whole.end(), [](char c) { return c != '?' && c != ' '; });
  if (!words && !has_protocol_ && steps_ <= 2) fail("not a pickle");
  fail("refusing to load '" + whole + "' from a pickle");
}

const PickleGlobal& PickleMachine::global_of(const Node* node) const {
  if (node->kind != Kind::kGlobal) corrupt("no class where one is expected");
  return kGlobals[node->integer()];
}

std::string_view PickleMachine::short_text(const Node* node) const {
  if ((node->kind != Kind::kText && node->kind != Kind::kRaw) || node->text().size() > kMaxName) corrupt("no name where one is expected");
  return node->text();
}

std::string PickleMachine::latin1(const Node* node) const {
  auto out = latin1_from_utf8(node->text());
  if (!out) corrupt("text beyond latin-1 where bytes are expected");
  return std::move(*out);
}

// Of bytes and the strings of Python 2, or of a text that stands for them.
std::string_view PickleMachine::raw_bytes(Node* node) {
  if (node->kind == Kind::kBytes || node->kind == Kind::kRaw) return node->text();
  if (node->kind != Kind::kText) corrupt("no bytes where some are expected");
  charge(node->text().size());
  return arena_->strings.emplace_back(latin1(node));
}

std::vector<std::int64_t> PickleMachine::integers(const Node* node) const {
  if ((node->kind != Kind::kTuple && node->kind != Kind::kList) || node->items().size() > kMaxRank)
    corrupt("no tuple of sizes where one is expected");
  std::vector<std::int64_t> out;
  for (const Node* item : node->items()) {
    if (item->kind != Kind::kInteger) corrupt("no tuple of sizes where one is expected");
    out.push_back(item->integer());
  }
  return out;
}

PickleNode* PickleMachine::lookup(Node* dict, std::string_view key) {
  if (dict->kind != Kind::kDict) corrupt("no dict where one is expected");
  charge(dict->items().size());  // bounds the time, where many objects share one state
  Node* found = nullptr;
  const Items& items = dict->items();
  for (std::size_t i = 0; i < items.size(); i += 2) {
    const Kind kind = items[i]->kind;
    if ((kind == Kind::kText || kind == Kind::kRaw) && items[i]->text() == key) found = items[i + 1];
  }
  return found;
}

PickleNode* PickleMachine::encode(const Items& args) {
  if (args.size() != 2 || args[0]->kind != Kind::kText) corrupt("bad arguments of encode");
  std::string name(short_text(args[1]));
  name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
  charge(args[0]->text().size());
  if (name == "latin1") return add_owned(Kind::kBytes, latin1(args[0]));
  if (name == "utf8") return add_text(Kind::kBytes, args[0]->text());
  corrupt("encoding that is neither latin-1 nor UTF-8");
}

PickleNode* PickleMachine::element_type(const Items& args) {
  if (args.empty()) corrupt("bad arguments of dtype");
  const std::string_view descr = args[0]->kind == Kind::kBytes ? args[0]->text() : short_text(args[0]);
  if (descr.size() > kMaxDescr) fail("array of a record type is not supported");
  return add_text(Kind::kElementType, descr);
}

PickleNode* PickleMachine::call(Node* callee, Node* args_node) {
  const PickleGlobal& global = global_of(callee);
  if (args_node->kind != Kind::kTuple) corrupt("arguments that are no tuple");
  const Items& args = args_node->items();
  switch (global.role) {
    case PickleRole::kReconstructArray:
      if (args.empty() || global_of(args[0]).role != PickleRole::kNdArray) corrupt("bad arguments of _reconstruct");
      return add(Kind::kPendingArray);
    case PickleRole::kNdArray: return add(Kind::kPendingArray);
    case PickleRole::kElementType: return element_type(args);
    case PickleRole::kEncode: return encode(args);
    case PickleRole::kScalar: {
      if (args.size() != 2) corrupt("bad arguments of scalar");
      const Array& array = decode_array(args[0], {}, false, args[1])->array();
      if (array.dtype == DType::kBool) return array.at<bool>()[0] ? true_ : false_;
      if (array.dtype == DType::kF64) return add(Kind::kReal, array.at<double>()[0]);
      if (array.dtype == DType::kF32 || array.dtype == DType::kF16) return add(Kind::kReal, double{to_floats(array)[0]});
      return add(Kind::kInteger, to_integers(array, file_ + ": scalar of NumPy")[0]);
    }
    case PickleRole::kFromBuffer: {
      if (args.size() != 4) corrupt("bad arguments of _frombuffer");
      return decode_array(args[1], integers(args[2]), short_text(args[3]) == "F", args[0]);
    }
    case PickleRole::kReconstructor:
      if (args.size() != 3 || global_of(args[1]).role != PickleRole::kObject || args[2]->kind != Kind::kNone)
        corrupt("bad arguments of _reconstructor");
      if (global_of(args[0]).role == PickleRole::kReconstructor) corrupt("bad arguments of _reconstructor");
      return call(args[0], add(Kind::kTuple, Items{}));
    case PickleRole::kSparseColumns:
    case PickleRole::kSparseRows:
    case PickleRole::kChumpy:
    case PickleRole::kObject: return add(Kind::kObject, Items{add(Kind::kGlobal, callee->integer()), nullptr});
    case PickleRole::kOrderedDict: {
      Node* dict = add(Kind::kDict, Items{});
      if (args.empty()) return dict;
      if (args.size() > 1 || args[0]->kind != Kind::kList) corrupt("bad arguments of OrderedDict");
      charge(args[0]->items().size() * 2 * sizeof(Node*));
      for (const Node* pair : args[0]->items()) {
        const bool good = (pair->kind == Kind::kList || pair->kind == Kind::kTuple) && pair->items().size() == 2;
        if (!good) corrupt("bad arguments of OrderedDict");
        set_items(dict, pair->items());
      }
      return dict;
    }
    case PickleRole::kSet: {
      Node* set = add(Kind::kSet, Items{});
      if (args.empty()) return set;
      if (args.size() > 1 || (args[0]->kind != Kind::kList && args[0]->kind != Kind::kTuple)) corrupt("bad arguments of set");
      charge(args[0]->items().size() * sizeof(Node*));
      append_items(set, Kind::kSet, args[0]->items());
      return set;
    }
    case PickleRole::kBytes:
      if (args.empty()) return add_text(Kind::kBytes, "");
      if (args.size() == 2) return encode(args);
      if (args.size() > 2 || args[0]->kind != Kind::kBytes) corrupt("bad arguments of bytes");
      return args[0];
    case PickleRole::kRebuildTensor:
    case PickleRole::kRebuildTensorV3: return rebuild_tensor(args, global.role == PickleRole::kRebuildTensorV3);
    case PickleRole::kRebuildParameter:
      if (args.empty() || args[0]->kind != Kind::kArray) corrupt("bad arguments of _rebuild_parameter");
      return args[0];
    case PickleRole::kSize: {
      if (args.size() != 1) corrupt("bad arguments of Size");
      Node* size = add(Kind::kTuple, Items{});
      for (const std::int64_t value : integers(args[0])) size->items().push_back(add(Kind::kInteger, value));
      return size;
    }
    case PickleRole::kDevice: {
      if (args.empty() || args.size() > 2) corrupt("bad arguments of device");
      std::string name(short_text(args[0]));
      if (args.size() == 2 && args[1]->kind == Kind::kInteger) name += ":" + std::to_string(args[1]->integer());
      return add_owned(Kind::kText, std::move(name));
    }
    case PickleRole::kStorage:
    case PickleRole::kTorchType: break;
  }
  corrupt("a call of what is no function");
}

void PickleMachine::build(Node* object, Node* state) {
  switch (object->kind) {
    case Kind::kPendingArray:
      if (state->kind != Kind::kTuple) corrupt("bad state of an array");
      return build_array(object, state->items());
    case Kind::kElementType: {  // (version, byte order, ...)
      if (state->kind != Kind::kTuple || state->items().size() < 2) corrupt("bad state of a dtype");
      const Node* const order = state->items()[1];
      const std::string_view mark = order->kind == Kind::kBytes ? order->text() : short_text(order);
      const std::string_view descr = object->text();
      if (mark.size() != 1 || std::string_view("<>|=").find(mark) == std::string_view::npos) corrupt("bad state of a dtype");
      const std::size_t old = !descr.empty() && std::string_view("<>|=").find(descr[0]) != std::string_view::npos ? 1 : 0;
      object->content = std::string_view(arena_->strings.emplace_back(std::string(mark) + std::string(descr.substr(old))));
      return;
    }
    case Kind::kDict:  // the attributes of an OrderedDict, such as _metadata of a state_dict: of no use here
      if (state->kind != Kind::kDict && state->kind != Kind::kTuple) corrupt("bad state of a dict");
      return;
    case Kind::kObject: return build_object(object, state);
    default: corrupt("state for what has none");
  }
}

PickleNode* PickleMachine::decode_array(Node* type_node, std::vector<std::int64_t> shape, bool fortran, Node* data_node) {
  if (type_node->kind != Kind::kElementType) corrupt("no dtype where one is expected");
  const ElementType type = parse_element_type(printable(type_node->text()), file_, "array");
  const auto needed = byte_count(type.dtype, shape);
  if (!needed) corrupt("shape " + shape_text(shape) + " is too large");
  const std::string_view data = raw_bytes(data_node);
  if (data.size() != static_cast<std::uint64_t>(*needed)) {
    corrupt("array of shape " + shape_text(shape) + "; expected " + std::to_string(*needed) + " bytes, found " + std::to_string(data.size()));
  }
  charge(data.size());
  return add_array(decode_elements(type, std::move(shape), fortran, data));
}

// (version, shape, dtype, Fortran order, data); the oldest NumPy has no version.
void PickleMachine::build_array(Node* object, const Items& state) {
  if (state.size() != 4 && state.size() != 5) corrupt("bad state of an array");
  const std::size_t at = state.size() - 4;
  const Node* const order = state[at + 2];
  if (order->kind != Kind::kBool && order->kind != Kind::kInteger) corrupt("bad state of an array");
  if (state[at + 3]->kind == Kind::kList) fail("array of Python objects is not supported");
  const Node* array = decode_array(state[at + 1], integers(state[at]), order->integer() != 0, state[at + 3]);
  object->content = array->content;
  object->kind = Kind::kArray;
}

void PickleMachine::build_object(Node* object, Node* state) {
  const PickleRole role = global_of(object->items().front()).role;
  if (role == PickleRole::kObject) {
    object->items()[1] = state;
    return;
  }
  const auto array_of = [&](std::string_view key) -> const Array& {
    const Node* const part = lookup(state, key);
    if (part == nullptr || part->kind != Kind::kArray) corrupt("sparse matrix without '" + std::string(key) + "'");
    return part->array();
  };
  if (role == PickleRole::kChumpy) {
    const Node* const x = lookup(state, "x");
    if (x == nullptr || x->kind != Kind::kArray) fail("object of chumpy without its array 'x'");
    object->content = x->content;
  } else {
    Node* const shape_node = lookup(state, lookup(state, "_shape") != nullptr ? "_shape" : "shape");
    if (shape_node == nullptr) corrupt("sparse matrix without '_shape'");
    const auto shape = integers(shape_node);
    if (shape.size() != 2 || !byte_count(DType::kF64, shape)) corrupt("bad shape of a sparse matrix");
    const SparseMatrix matrix{array_of("data"), array_of("indices"), array_of("indptr"), shape[0], shape[1],
                              role == PickleRole::kSparseRows};
    // The dense array, and what the conversion of the parts takes.
    charge(static_cast<std::uint64_t>(*byte_count(DType::kF64, shape)));
    charge(8 * (matrix.data.count() + matrix.indices.count() + matrix.indptr.count()));
    auto dense = make_dense(matrix);
    if (!dense) corrupt("the parts of a sparse matrix do not fit together");
    object->content = std::shared_ptr<const Array>(std::make_shared<Array>(std::move(*dense)));
  }
  object->kind = Kind::kArray;
}

// ('storage', class, key, location, count), and in some versions a view that is none. The location, "cuda:0", is of no use.
PickleNode* PickleMachine::persistent(Node* id) {
  if (!options_.storage) corrupt("it refers to data outside itself");
  if (id->kind != Kind::kTuple || id->items().size() < 5) corrupt("bad reference to a storage");
  const Items& parts = id->items();
  if (short_text(parts[0]) != "storage" || global_of(parts[1]).role != PickleRole::kStorage) corrupt("bad reference to a storage");
  short_text(parts[2]);
  short_text(parts[3]);
  if (parts[4]->kind != Kind::kInteger || parts[4]->integer() < 0) corrupt("bad reference to a storage");
  if (parts.size() > 5 && parts[5]->kind != Kind::kNone) corrupt("views of storages are not supported");
  return add(Kind::kStorage, Items{add(Kind::kGlobal, parts[1]->integer()), parts[2], parts[4]});
}

// (storage, offset, size, stride, requires_grad, hooks, ...); in the third version the element type follows the hooks.
PickleNode* PickleMachine::rebuild_tensor(const Items& args, bool third) {
  if (args.size() < (third ? 7U : 4U) || args[0]->kind != Kind::kStorage || args[1]->kind != Kind::kInteger) corrupt("bad arguments of a tensor");
  const Items& parts = args[0]->items();
  StorageName name{global_of(parts[0]).dtype, std::string(short_text(parts[1])), parts[2]->integer()};
  if (third) {
    const PickleGlobal& type = global_of(args[6]);
    if (type.role != PickleRole::kTorchType) corrupt("bad arguments of a tensor");
    std::int64_t bytes = 0;
    if (__builtin_mul_overflow(name.count, static_cast<std::int64_t>(size_of(name.dtype)), &bytes)) corrupt("bad reference to a storage");
    name.count = bytes / static_cast<std::int64_t>(size_of(type.dtype));
    name.dtype = type.dtype;
  }
  const StridedView view{name.dtype, args[1]->integer(), integers(args[2]), integers(args[3])};
  if (const std::string problem = problem_of(view, name.count); !problem.empty()) corrupt(problem);
  charge(static_cast<std::uint64_t>(*byte_count(view.dtype, view.size)));
  const std::string_view storage = options_.storage(name);
  if (storage.size() / size_of(name.dtype) < static_cast<std::uint64_t>(name.count)) corrupt("storage '" + printable(name.key) + "' is too short");
  return add_array(copy_strided(view, storage, options_.swap_storages));
}

}  // namespace layeravatar::io
