// Inside of pickle.cpp and its neighbours; nobody else includes it.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "layeravatar/io/pickle.h"

namespace layeravatar::io {

/// One value. The first kinds are those of PickleValue, in its order; the rest exist only while a pickle is read.
/// Nodes live in an arena and point at each other, so that neither depth nor cycles matter to their destruction.
struct PickleNode {
  enum class Kind : std::uint8_t {
    kNone, kBool, kInteger, kReal, kText, kBytes, kList, kTuple, kSet, kDict, kArray, kObject,
    kRaw,           // a string of Python 2: bytes until we know that it is a text
    kGlobal,        // integer: index into the list of names
    kElementType,   // text: "<f4"
    kPendingArray,  // an array whose BUILD is still to come
    kStorage,       // items: global, key, count
  };
  using Items = std::vector<PickleNode*>;

  Kind kind = Kind::kNone;
  std::uint8_t colour = 0;     // of the final walk: 0 new, 1 on the path, 2 done
  std::uint16_t height = 0;    // levels of containers below
  std::uint32_t expanded = 0;  // values below, shared ones counted every time
  /// integer and bool; real; text, bytes, raw, element type; containers (a dict alternates keys and values) and
  /// objects (class, state or null); array
  std::variant<std::int64_t, double, std::string_view, Items, std::shared_ptr<const Array>> content = std::int64_t{0};

  [[nodiscard]] std::int64_t integer() const { return std::get<std::int64_t>(content); }
  [[nodiscard]] std::string_view text() const { return std::get<std::string_view>(content); }
  [[nodiscard]] const Items& items() const { return std::get<Items>(content); }
  [[nodiscard]] Items& items() { return std::get<Items>(content); }
  [[nodiscard]] const Array& array() const { return *std::get<std::shared_ptr<const Array>>(content); }
};

struct PickleArena {
  std::deque<PickleNode> nodes;
  std::deque<std::string> strings;
};

/// What an allowed name means to us.
enum class PickleRole {
  kReconstructArray, kScalar, kNdArray, kElementType, kFromBuffer, kEncode, kSparseColumns, kSparseRows, kChumpy, kReconstructor,
  kObject, kOrderedDict, kSet, kBytes, kRebuildTensor, kRebuildTensorV3, kRebuildParameter, kStorage, kSize, kDevice, kTorchType,
};
struct PickleGlobal {
  std::string_view module;
  std::string_view name;  // empty: any
  PickleRole role;
  DType dtype = DType::kF32;  // of a storage or a torch type
};

class PickleMachine {
 public:
  PickleMachine(std::string_view bytes, const std::string& file, const PickleOptions& options);
  PickleValue run();

 private:
  using Node = PickleNode;
  using Kind = PickleNode::Kind;
  using Items = PickleNode::Items;

  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void corrupt(const std::string& reason) const;
  [[noreturn]] void too_many(std::uint64_t limit, const char* what) const;
  /// Counts bytes that we allocate beyond what the file holds.
  void charge(std::uint64_t bytes);

  // pickle.cpp: bytes
  std::string_view take(std::uint64_t count);
  std::string_view line();
  template <class T>
  T number();

  // pickle.cpp: nodes
  Node* add(Kind kind);
  template <class T>
  Node* add(Kind kind, T content);
  Node* add_text(Kind kind, std::string_view text);
  Node* add_owned(Kind kind, std::string text);
  Node* add_array(Array array);

  // pickle.cpp: stack and memo
  void push(Node* node) { stack_.push_back(node); }
  Node* pop();
  Node* top();
  Items pop_to_mark();
  void remember(std::uint64_t index, Node* node);
  Node* recall(std::uint64_t index) const;

  // pickle.cpp: opcodes
  void step(unsigned char opcode);
  bool step_scalar(unsigned char opcode);
  bool step_string(unsigned char opcode);
  bool step_container(unsigned char opcode);
  bool step_memo(unsigned char opcode);
  bool step_call(unsigned char opcode);
  void push_long(std::string_view bytes);
  void push_text(std::string_view bytes);
  void append_items(Node* node, Kind kind, const Items& items);
  void set_items(Node* node, const Items& items);

  // pickle_globals.cpp
  Node* find_global(std::string_view module, std::string_view name);
  [[nodiscard]] const PickleGlobal& global_of(const Node* node) const;
  Node* call(Node* callee, Node* args);
  void build(Node* object, Node* state);
  Node* persistent(Node* id);
  Node* encode(const Items& args);
  Node* element_type(const Items& args);
  Node* rebuild_tensor(const Items& args, bool third);
  Node* decode_array(Node* type, std::vector<std::int64_t> shape, bool fortran, Node* data);
  void build_array(Node* object, const Items& state);
  void build_object(Node* object, Node* state);
  Node* lookup(Node* dict, std::string_view key);
  std::vector<std::int64_t> integers(const Node* node) const;
  std::string latin1(const Node* node) const;
  std::string_view raw_bytes(Node* node);
  std::string_view short_text(const Node* node) const;

  // pickle_finish.cpp
  void finish(Node* root);
  void prepare(Node* node);
  void close(Node* node);
  const Node* canonical(const Node* key, int depth);

  std::string_view bytes_;
  const std::string& file_;
  const PickleOptions& options_;
  std::uint64_t pos_ = 0;
  std::uint64_t opcode_at_ = 0;
  std::uint64_t steps_ = 0;
  bool has_protocol_ = false;
  std::uint64_t budget_ = 0;
  std::shared_ptr<PickleArena> arena_ = std::make_shared<PickleArena>();
  std::vector<Node*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Node*> memo_;
  std::deque<std::string> kept_;  // the texts of the finished values
  std::unordered_map<const Node*, const Node*> canonical_;
  std::map<std::string, const Node*, std::less<>> by_content_;
  Node* none_ = nullptr;
  Node* true_ = nullptr;
  Node* false_ = nullptr;
};

}  // namespace layeravatar::io
