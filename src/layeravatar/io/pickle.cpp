#include "layeravatar/io/pickle.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <utility>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/bytes.h"
#include "layeravatar/io/pickle_machine.h"
#include "layeravatar/io/pickle_text.h"

namespace layeravatar::io {
namespace {
constexpr int kNewestProtocol = 5;

// The whole of `text` as a number.
template <class T>
bool parse_number(std::string_view text, T& value) {
  const auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && next == text.data() + text.size();
}
}  // namespace

PickleMachine::PickleMachine(std::string_view bytes, const std::string& file, const PickleOptions& options)
    : bytes_(bytes), file_(file), options_(options) {
  const std::uint64_t whole = std::max<std::uint64_t>(bytes.size(), options.file_bytes);
  budget_ = std::max<std::uint64_t>(options.limits.array_bytes, 4 * whole);
  none_ = add(Kind::kNone);
  true_ = add(Kind::kBool, std::int64_t{1});
  false_ = add(Kind::kBool, std::int64_t{0});
}

void PickleMachine::fail(const std::string& what) const { throw Error(ErrorKind::kInput, file_ + ": " + what); }

void PickleMachine::corrupt(const std::string& reason) const {
  // Protocols 0 and 1 have no mark of their own: what breaks at its first opcodes never was a pickle.
  if (!has_protocol_ && steps_ <= 2) fail("not a pickle");
  fail("corrupt pickle at byte " + std::to_string(opcode_at_) + " (" + reason + ")");
}

void PickleMachine::too_many(std::uint64_t limit, const char* what) const {
  fail("pickle with more than " + std::to_string(limit) + " " + what);
}

void PickleMachine::charge(std::uint64_t bytes) {
  if (bytes > budget_) fail("pickle that expands too far; its arrays would take more memory than four times the file");
  budget_ -= bytes;
}

std::string_view PickleMachine::take(std::uint64_t count) {
  if (count > bytes_.size() - pos_) corrupt("longer than the file");
  const std::string_view out = bytes_.substr(pos_, count);
  pos_ += count;
  return out;
}

std::string_view PickleMachine::line() {
  const std::size_t end = bytes_.find('\n', pos_);
  if (end == std::string_view::npos) corrupt("line without an end");
  std::string_view out = take(end - pos_);
  ++pos_;
  if (out.ends_with('\r')) out.remove_suffix(1);
  return out;
}

template <class T>
T PickleMachine::number() {
  return load<T>(take(sizeof(T)), 0);
}

PickleNode* PickleMachine::add(Kind kind) {
  if (arena_->nodes.size() >= options_.limits.objects) too_many(options_.limits.objects, "objects");
  Node& node = arena_->nodes.emplace_back();
  node.kind = kind;
  return &node;
}

template <class T>
PickleNode* PickleMachine::add(Kind kind, T content) {
  Node* node = add(kind);
  node->content = std::move(content);
  return node;
}
template PickleNode* PickleMachine::add(Kind, Items);
template PickleNode* PickleMachine::add(Kind, double);
template PickleNode* PickleMachine::add(Kind, std::int64_t);

PickleNode* PickleMachine::add_text(Kind kind, std::string_view text) {
  if (kind == Kind::kText && text.size() > options_.limits.text_bytes) too_many(options_.limits.text_bytes, "bytes in one text");
  return add(kind, text);
}

PickleNode* PickleMachine::add_owned(Kind kind, std::string text) {
  return add_text(kind, arena_->strings.emplace_back(std::move(text)));
}

PickleNode* PickleMachine::add_array(Array array) {
  return add(Kind::kArray, std::shared_ptr<const Array>(std::make_shared<Array>(std::move(array))));
}

PickleNode* PickleMachine::pop() {
  Node* node = top();
  stack_.pop_back();
  return node;
}

PickleNode* PickleMachine::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) corrupt("the stack is empty");
  return stack_.back();
}

PickleNode::Items PickleMachine::pop_to_mark() {
  if (marks_.empty()) corrupt("no mark");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  Items items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void PickleMachine::remember(std::uint64_t index, Node* node) {
  if (memo_.size() >= options_.limits.memo) too_many(options_.limits.memo, "memo entries");
  memo_[index] = node;
}

PickleNode* PickleMachine::recall(std::uint64_t index) const {
  const auto found = memo_.find(index);
  if (found == memo_.end()) corrupt("memo entry " + std::to_string(index) + " is missing");
  return found->second;
}

PickleValue PickleMachine::run() {
  while (true) {
    opcode_at_ = pos_;
    if (pos_ == bytes_.size()) corrupt("it ends without STOP");
    ++steps_;
    const auto opcode = static_cast<unsigned char>(bytes_[pos_++]);
    if (opcode == '.') break;
    step(opcode);
  }
  Node* root = pop();
  if (!stack_.empty() || !marks_.empty()) corrupt("left-over values");
  finish(root);
  return PickleValue({arena_, root});
}

void PickleMachine::step(unsigned char opcode) {
  if (step_scalar(opcode) || step_string(opcode) || step_container(opcode) || step_memo(opcode) || step_call(opcode)) return;
  switch (opcode) {
    case 0x80: {  // PROTO
      const auto version = number<std::uint8_t>();
      if (version > kNewestProtocol && version < 16) fail("pickle of protocol " + std::to_string(version) + "; expected 0..5");
      if (version > kNewestProtocol) corrupt("no protocol " + std::to_string(version));
      has_protocol_ = true;
      return;
    }
    case 0x95:  // FRAME: a length that tells readers of streams how much to fetch
      if (number<std::uint64_t>() > bytes_.size() - pos_) corrupt("longer than the file");
      return;
    case '0':  // POP
      if (!marks_.empty() && marks_.back() == stack_.size()) marks_.pop_back();
      else pop();
      return;
    case '1': pop_to_mark(); return;  // POP_MARK
    case '2': push(top()); return;    // DUP
    case 0x82:
    case 0x83:
    case 0x84: corrupt("extension codes are not supported");
    case 0x97:
    case 0x98: corrupt("buffers outside the file are not supported");
    default: corrupt("unknown opcode " + std::to_string(opcode));
  }
}

bool PickleMachine::step_scalar(unsigned char opcode) {
  switch (opcode) {
    case 'N': push(none_); return true;
    case 0x88: push(true_); return true;
    case 0x89: push(false_); return true;
    case 'K': push(add(Kind::kInteger, std::int64_t{number<std::uint8_t>()})); return true;
    case 'M': push(add(Kind::kInteger, std::int64_t{number<std::uint16_t>()})); return true;
    case 'J': push(add(Kind::kInteger, std::int64_t{number<std::int32_t>()})); return true;
    case 0x8a: push_long(take(number<std::uint8_t>())); return true;
    case 0x8b: {
      const auto size = number<std::int32_t>();
      if (size < 0) corrupt("negative length");
      push_long(take(static_cast<std::uint64_t>(size)));
      return true;
    }
    case 'I':
    case 'L': {
      std::string_view text = line();
      if (opcode == 'I' && (text == "00" || text == "01")) {  // how protocols 0 and 1 write booleans
        push(text == "01" ? true_ : false_);
        return true;
      }
      if (opcode == 'L' && text.ends_with('L')) text.remove_suffix(1);
      std::int64_t value = 0;
      if (!parse_number(text, value)) corrupt("no integer of 64 bits");
      push(add(Kind::kInteger, value));
      return true;
    }
    case 'F': {
      double value = 0;
      if (!parse_number(line(), value)) corrupt("no number");
      push(add(Kind::kReal, value));
      return true;
    }
    case 'G': {  // big-endian
      char raw[8];
      const std::string_view bytes = take(sizeof raw);
      std::reverse_copy(bytes.begin(), bytes.end(), raw);
      push(add(Kind::kReal, load<double>({raw, sizeof raw}, 0)));
      return true;
    }
    default: return false;
  }
}

// Two's complement, little-endian, any number of bytes.
void PickleMachine::push_long(std::string_view bytes) {
  const auto fill = !bytes.empty() && static_cast<signed char>(bytes.back()) < 0 ? '\xff' : '\0';
  const auto sign_of = [](char c) { return static_cast<signed char>(c) < 0 ? '\xff' : '\0'; };
  while (bytes.size() > 8 && bytes.back() == fill && sign_of(bytes[bytes.size() - 2]) == fill) bytes.remove_suffix(1);
  if (bytes.size() > 8) corrupt("integer of more than 64 bits");
  char raw[8];
  std::fill(std::begin(raw), std::end(raw), fill);
  std::copy(bytes.begin(), bytes.end(), raw);
  push(add(Kind::kInteger, load<std::int64_t>({raw, sizeof raw}, 0)));
}

void PickleMachine::push_text(std::string_view bytes) {
  if (!is_utf8(bytes)) corrupt("text that is not UTF-8");
  push(add_text(Kind::kText, bytes));
}

bool PickleMachine::step_string(unsigned char opcode) {
  switch (opcode) {
    case 'S': {
      auto text = unescape_string(line());
      if (!text) corrupt("badly quoted string");
      push(add_owned(Kind::kRaw, std::move(*text)));
      return true;
    }
    case 'T': {
      const auto size = number<std::int32_t>();
      if (size < 0) corrupt("negative length");
      push(add_text(Kind::kRaw, take(static_cast<std::uint64_t>(size))));
      return true;
    }
    case 'U': push(add_text(Kind::kRaw, take(number<std::uint8_t>()))); return true;
    case 'V': {
      auto text = unescape_unicode(line());
      if (!text) corrupt("bad escape in a text");
      push(add_owned(Kind::kText, std::move(*text)));
      return true;
    }
    case 'X': push_text(take(number<std::uint32_t>())); return true;
    case 0x8c: push_text(take(number<std::uint8_t>())); return true;
    case 0x8d: push_text(take(number<std::uint64_t>())); return true;
    case 'B': push(add_text(Kind::kBytes, take(number<std::uint32_t>()))); return true;
    case 'C': push(add_text(Kind::kBytes, take(number<std::uint8_t>()))); return true;
    case 0x8e:
    case 0x96: push(add_text(Kind::kBytes, take(number<std::uint64_t>()))); return true;
    default: return false;
  }
}

bool PickleMachine::step_container(unsigned char opcode) {
  switch (opcode) {
    case '(': marks_.push_back(stack_.size()); return true;
    case ']': push(add(Kind::kList, Items{})); return true;
    case ')': push(add(Kind::kTuple, Items{})); return true;
    case '}': push(add(Kind::kDict, Items{})); return true;
    case 0x8f: push(add(Kind::kSet, Items{})); return true;
    case 'l': push(add(Kind::kList, pop_to_mark())); return true;
    case 't': push(add(Kind::kTuple, pop_to_mark())); return true;
    case 0x91: push(add(Kind::kSet, pop_to_mark())); return true;  // FROZENSET
    case 'd': {
      const Items items = pop_to_mark();
      push(add(Kind::kDict, Items{}));
      set_items(top(), items);
      return true;
    }
    case 0x85:
    case 0x86:
    case 0x87: {
      Items items(opcode - 0x84U);
      for (std::size_t i = items.size(); i-- > 0;) items[i] = pop();
      push(add(Kind::kTuple, std::move(items)));
      return true;
    }
    case 'a': {
      Node* item = pop();
      append_items(top(), Kind::kList, {item});
      return true;
    }
    case 'e':
    case 0x90: {  // ADDITEMS, of sets
      const Items items = pop_to_mark();
      append_items(top(), opcode == 'e' ? Kind::kList : Kind::kSet, items);
      return true;
    }
    case 's': {
      Node* value = pop();
      Node* key = pop();
      set_items(top(), {key, value});
      return true;
    }
    case 'u': {
      const Items items = pop_to_mark();
      set_items(top(), items);
      return true;
    }
    default: return false;
  }
}

void PickleMachine::append_items(Node* node, Kind kind, const Items& items) {
  if (node->kind != kind) corrupt("items for what is no list");
  node->items().insert(node->items().end(), items.begin(), items.end());
}

void PickleMachine::set_items(Node* node, const Items& items) {
  if (node->kind != Kind::kDict) corrupt("keys for what is no dict");
  if (items.size() % 2 != 0) corrupt("a key without a value");
  node->items().insert(node->items().end(), items.begin(), items.end());
}

bool PickleMachine::step_memo(unsigned char opcode) {
  const auto from_line = [this] {
    std::uint64_t index = 0;
    if (!parse_number(line(), index)) corrupt("bad memo index");
    return index;
  };
  switch (opcode) {
    case 'p': remember(from_line(), top()); return true;
    case 'q': remember(number<std::uint8_t>(), top()); return true;
    case 'r': remember(number<std::uint32_t>(), top()); return true;
    case 0x94: remember(memo_.size(), top()); return true;
    case 'g': push(recall(from_line())); return true;
    case 'h': push(recall(number<std::uint8_t>())); return true;
    case 'j': push(recall(number<std::uint32_t>())); return true;
    default: return false;
  }
}

bool PickleMachine::step_call(unsigned char opcode) {
  switch (opcode) {
    case 'c': {
      const std::string_view module = line();
      push(find_global(module, line()));
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const std::string_view name = short_text(pop());
      push(find_global(short_text(pop()), name));
      return true;
    }
    case 'R':
    case 0x81: {  // NEWOBJ
      Node* args = pop();
      push(call(pop(), args));
      return true;
    }
    case 0x92: {  // NEWOBJ_EX
      const Node* const named = pop();
      Node* args = pop();
      if (named->kind != Kind::kDict || !named->items().empty()) corrupt("named arguments are not supported");
      push(call(pop(), args));
      return true;
    }
    case 'i': {  // INST
      const std::string_view module = line();
      Node* callee = find_global(module, line());
      push(call(callee, add(Kind::kTuple, pop_to_mark())));
      return true;
    }
    case 'o': {  // OBJ
      Items items = pop_to_mark();
      if (items.empty()) corrupt("no class");
      Node* callee = items.front();
      items.erase(items.begin());
      push(call(callee, add(Kind::kTuple, std::move(items))));
      return true;
    }
    case 'b': {
      Node* state = pop();
      build(top(), state);
      return true;
    }
    case 'P': push(persistent(add_text(Kind::kRaw, line()))); return true;
    case 'Q': push(persistent(pop())); return true;
    default: return false;
  }
}

PickleValue parse_pickle(std::string_view bytes, const std::string& file, const PickleOptions& options) {
  return PickleMachine(bytes, file, options).run();
}

PickleValue read_pickle(const std::filesystem::path& path, const PickleLimits& limits) {
  PickleOptions options;
  options.limits = limits;
  return parse_pickle(read_file(path), path.string(), options);
}

}  // namespace layeravatar::io
