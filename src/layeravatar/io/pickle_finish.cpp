// The last step of reading a pickle: what only the machine knows becomes plain values; cycles, depth and expansion are
// checked, so that whoever walks the result may recurse and visit shared values again.
#include <algorithm>
#include <cmath>
#include <utility>

#include "layeravatar/io/bytes.h"
#include "layeravatar/io/pickle_machine.h"
#include "layeravatar/io/pickle_text.h"

namespace layeravatar::io {
namespace {
constexpr int kKeyDepth = 8;  // of tuples that serve as keys
enum Colour : std::uint8_t { kNew, kOnPath, kDone };

std::string full_name(const PickleGlobal& global) { return std::string(global.module) + "." + std::string(global.name); }

bool is_container(const PickleNode& node) {
  using Kind = PickleNode::Kind;
  return node.kind == Kind::kList || node.kind == Kind::kTuple || node.kind == Kind::kSet || node.kind == Kind::kDict ||
         node.kind == Kind::kObject;
}
}  // namespace

void PickleMachine::finish(Node* root) {
  std::vector<std::pair<Node*, std::size_t>> path;  // a node and its next item
  const auto enter = [&](Node* node) {
    if (path.size() > options_.limits.depth) too_many(options_.limits.depth, "levels of containers");
    prepare(node);
    node->colour = kOnPath;
    path.emplace_back(node, 0);
  };
  enter(root);
  while (!path.empty()) {
    Node* node = path.back().first;
    const std::size_t next = path.back().second++;
    if (!is_container(*node) || next >= node->items().size()) {
      close(node);
      node->colour = kDone;
      path.pop_back();
      continue;
    }
    Node* child = node->items()[next];
    if (child == nullptr || child->colour == kDone) continue;
    if (child->colour == kOnPath) fail("a container of the pickle holds itself");
    enter(child);
  }
  arena_->strings = std::move(kept_);  // the buffers of arrays go away
}

void PickleMachine::prepare(Node* node) {
  const auto own = [this](std::string text) { return std::string_view(kept_.emplace_back(std::move(text))); };
  switch (node->kind) {
    case Kind::kRaw:
      node->content = own(utf8_from_latin1(node->text()));
      node->kind = Kind::kText;
      return;
    case Kind::kText:
    case Kind::kBytes: node->content = own(std::string(node->text())); return;  // the file's bytes go away
    case Kind::kGlobal:
    case Kind::kStorage: {
      const PickleGlobal& global = global_of(node->kind == Kind::kGlobal ? node : node->items().front());
      node->content = Items{add_owned(Kind::kText, full_name(global)), nullptr};
      node->kind = Kind::kObject;
      return;
    }
    case Kind::kElementType:
      node->content = Items{add_owned(Kind::kText, "numpy.dtype"), add_owned(Kind::kText, std::string(node->text()))};
      node->kind = Kind::kObject;
      return;
    case Kind::kPendingArray: fail("corrupt pickle: an array without its content");
    case Kind::kObject: {
      Node*& type = node->items().front();  // each object's own
      const PickleGlobal& global = global_of(type);
      const PickleRole role = global.role;
      if (role == PickleRole::kChumpy) fail("object of chumpy without its array 'x'");
      if (role != PickleRole::kObject) fail("corrupt pickle: a sparse matrix without its content");
      type = add_owned(Kind::kText, full_name(global));
      return;
    }
    default: return;
  }
}

void PickleMachine::close(Node* node) {
  if (node->kind == Kind::kDict) {  // a key that comes again keeps its place and takes the new value
    Items& items = node->items();
    std::unordered_map<const Node*, std::size_t> places;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < items.size(); i += 2) {
      const auto [found, is_new] = places.emplace(canonical(items[i], 0), kept);
      if (is_new) {
        items[kept++] = items[i];
        items[kept++] = items[i + 1];
      } else {
        items[found->second + 1] = items[i + 1];
      }
    }
    items.resize(kept);
  }
  std::uint64_t expanded = 1;
  std::uint64_t height = 0;
  if (is_container(*node)) {
    for (const Node* child : node->items()) {
      if (child == nullptr) continue;
      expanded += child->expanded;
      height = std::max<std::uint64_t>(height, child->height + std::uint64_t{1});
      if (expanded > options_.limits.expanded) too_many(options_.limits.expanded, "values");
    }
  }
  if (height > options_.limits.depth) too_many(options_.limits.depth, "levels of containers");
  node->expanded = static_cast<std::uint32_t>(expanded);
  node->height = static_cast<std::uint16_t>(height);
}

// One node for all keys that are equal in Python's eyes.
const PickleNode* PickleMachine::canonical(const Node* key, int depth) {
  if (const auto found = canonical_.find(key); found != canonical_.end()) return found->second;
  std::string content;
  switch (key->kind) {
    case Kind::kNone: content = "n"; break;
    case Kind::kBool:
    case Kind::kInteger:
      content = "i";
      append(content, key->integer());
      break;
    case Kind::kReal: {
      const double value = std::get<double>(key->content);
      const bool whole = std::abs(value) < 0x1p53 && value == std::trunc(value);
      content = whole ? "i" : "r";
      if (whole) append(content, static_cast<std::int64_t>(value));
      else append(content, value);
      break;
    }
    case Kind::kText: content = "t" + std::string(key->text()); break;
    case Kind::kBytes: content = "b" + std::string(key->text()); break;
    case Kind::kTuple:
      if (depth >= kKeyDepth) fail("dict key of nested tuples");
      content = "(";
      for (const Node* item : key->items()) append(content, canonical(item, depth + 1));
      break;
    default: fail(std::string("dict key of kind ") + name_of(static_cast<PickleValue::Kind>(key->kind)));
  }
  const Node* same = by_content_.emplace(std::move(content), key).first->second;
  canonical_.emplace(key, same);
  return same;
}

}  // namespace layeravatar::io
