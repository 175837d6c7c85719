#include "layeravatar/io/pickle.h"

#include <cmath>

#include "layeravatar/io/bytes.h"
#include "layeravatar/io/pickle_arrays.h"
#include "layeravatar/io/pickle_for_test.h"
#include "layeravatar/io/pickle_write.h"
#include "layeravatar/io/pickle_text.h"
#include "layeravatar/io/support_test.h"

namespace layeravatar::io {
namespace {
using Kind = PickleValue::Kind;
using namespace std::string_literals;

// As Python would print it; an array by its type, shape and sum.
std::string show(const PickleValue& v) {
  const auto join = [&](const char* open, const char* close) {
    std::string out = open;
    for (std::size_t i = 0; i < v.size(); ++i) {
      out += i == 0 ? "" : ", ";
      out += v.is(Kind::kDict) ? show(v.key(i)) + ": " + show(v.value(i)) : show(v.item(i));
    }
    return out + close;
  };
  switch (v.kind()) {
    case Kind::kNone: return "None";
    case Kind::kBool: return v.boolean() ? "True" : "False";
    case Kind::kInteger: return std::to_string(v.integer());
    case Kind::kReal: {
      const std::string text = std::to_string(v.real());
      return text.substr(0, text.find_last_not_of('0') + 1);
    }
    case Kind::kText: return "'" + std::string(v.text()) + "'";
    case Kind::kBytes: return "b'" + std::string(v.bytes()) + "'";
    case Kind::kList: return join("[", "]");
    case Kind::kTuple: return join("(", ")");
    case Kind::kSet: return join("<", ">");
    case Kind::kDict: return join("{", "}");
    case Kind::kArray: {
      float sum = 0;
      for (const float x : to_floats(v.array())) sum += x;
      return std::string(name_of(v.array().dtype)) + shape_text(v.array().shape) + "=" +
          std::to_string(std::abs(sum) < 1e6F ? static_cast<int>(sum) : 0);
    }
    case Kind::kObject: return std::string(v.class_name()) + "|" + show(v.state());
  }
  return "";
}

std::string shown(const std::string& bytes, const PickleOptions& options = {}) { return show(parse_pickle(bytes, "a.pkl", options)); }

std::string pickle_error(const std::string& bytes, const PickleOptions& options = {}) {
  return input_error([&] { (void)parse_pickle(bytes, "a.pkl", options); });
}

std::string error_of(const std::string& value) { return pickle_error(pickled(value)); }

void expect_error(const std::string& bytes, const std::string& part) {
  const std::string message = pickle_error(bytes);
  EXPECT_NE(message.find(part), std::string::npos) << message << " / " << part;
}

// One value in every protocol, from Python 3.11's pickle.dumps:
//   {'a': [1, 300, 70000, 2.5, None, True, False], 'b': ('x', b'\xffy', {3}), 7: -12345678901,
//    'e with acute, euro, U+1F600, backslash': OrderedDict([('k', ())])}
const std::vector<std::string>& every_protocol() {
  static const std::vector<std::string> kFiles = {
      std::string("(dp0\012Va\012p1\012(lp2\012I1\012aI300\012aI70000\012aF2.5\012aNaI01\012aI00\012asVb\012p3\012(Vx\012p4\012c_codecs\012encod"
                  "e\012p5\012(V\377y\012p6\012Vlatin1\012p7\012tp8\012Rp9\012c__builtin__\012set\012p10\012((lp11\012I3\012atp12\012Rp13\012tp1"
                  "4\012sI7\012L-12345678901L\012sV\351\\u20ac\\U0001f600\\u005c\012p15\012ccollections\012OrderedDict\012p16\012(tRp17\012Vk"
                  "\012p18\012(tss.", 256),
      std::string("}q\000(X\001\000\000\000aq\001]q\002(K\001M,\001Jp\021\001\000G@\004\000\000\000\000\000\000NI01\012I00\012eX\001\000\000\000"
                  "bq\003(X\001\000\000\000xq\004c_codecs\012encode\012q\005(X\003\000\000\000\303\277yq\006X\006\000\000\000latin1q\007tq\010Rq"
                  "\011c__builtin__\012set\012q\012(]q\013K\003atq\014Rq\015tq\016K\007L-12345678901L\012X\012\000\000\000\303\251\342\202\254"
                  "\360\237\230\200\\q\017ccollections\012OrderedDict\012q\020)Rq\021X\001\000\000\000kq\022)su.", 222),
      std::string("\200\002}q\000(X\001\000\000\000aq\001]q\002(K\001M,\001Jp\021\001\000G@\004\000\000\000\000\000\000N\210\211eX\001\000\000"
                  "\000bq\003X\001\000\000\000xq\004c_codecs\012encode\012q\005X\003\000\000\000\303\277yq\006X\006\000\000\000latin1q\007\206q"
                  "\010Rq\011c__builtin__\012set\012q\012]q\013K\003a\205q\014Rq\015\207q\016K\007\212\005\313\343# \375X\012\000\000\000\303"
                  "\251\342\202\254\360\237\230\200\\q\017ccollections\012OrderedDict\012q\020)Rq\021X\001\000\000\000kq\022)su.", 207),
      std::string("\200\003}q\000(X\001\000\000\000aq\001]q\002(K\001M,\001Jp\021\001\000G@\004\000\000\000\000\000\000N\210\211eX\001\000\000"
                  "\000bq\003X\001\000\000\000xq\004C\002\377yq\005cbuiltins\012set\012q\006]q\007K\003a\205q\010Rq\011\207q\012K\007\212\005"
                  "\313\343# \375X\012\000\000\000\303\251\342\202\254\360\237\230\200\\q\013ccollections\012OrderedDict\012q\014)Rq\015X\001"
                  "\000\000\000kq\016)su.", 163),
      std::string("\200\004\225u\000\000\000\000\000\000\000}\224(\214\001a\224]\224(K\001M,\001Jp\021\001\000G@\004\000\000\000\000\000\000N"
                  "\210\211e\214\001b\224\214\001x\224C\002\377y\224\217\224(K\003\220\207\224K\007\212\005\313\343# \375\214\012\303\251\342"
                  "\202\254\360\237\230\200\\\224\214\013collections\224\214\013OrderedDict\224\223\224)R\224\214\001k\224)su.", 128),
      std::string("\200\005\225u\000\000\000\000\000\000\000}\224(\214\001a\224]\224(K\001M,\001Jp\021\001\000G@\004\000\000\000\000\000\000N"
                  "\210\211e\214\001b\224\214\001x\224C\002\377y\224\217\224(K\003\220\207\224K\007\212\005\313\343# \375\214\012\303\251\342"
                  "\202\254\360\237\230\200\\\224\214\013collections\224\214\013OrderedDict\224\223\224)R\224\214\001k\224)su.", 128),
  };
  return kFiles;
}
const char* const kEveryProtocol =
    "{'a': [1, 300, 70000, 2.5, None, True, False], 'b': ('x', b'\xffy', <3>), 7: -12345678901, '\u00e9\u20ac\U0001F600\\': {'k': ()}}";

const Array kNumbers = make_array<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});

// Damage anywhere is an error or harmless; under sanitizers this also finds reads beyond the end.
void expect_survives_damage(const std::string& whole, const PickleOptions& options = {}) {
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_NE(pickle_error(whole.substr(0, n), options), "") << "cut at " << n;
  for (std::size_t n = 0; n < whole.size(); ++n) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string bytes = whole;
      bytes[n] = static_cast<char>(static_cast<unsigned char>(bytes[n]) ^ (1U << bit));
      input_error([&] { (void)show(parse_pickle(bytes, "a.pkl", options)); });
    }
  }
}

TEST(Pickle, EveryProtocolOfPython) {
  ASSERT_EQ(every_protocol().size(), 6U);
  for (const std::string& file : every_protocol()) EXPECT_EQ(shown(file), kEveryProtocol);
}

TEST(Pickle, DamageIsReported) {
  for (const std::string& file : every_protocol()) expect_survives_damage(file);
  expect_survives_damage(pickled(ArrayMap{{"k", kNumbers}}));
}

TEST(Pickle, Scalars) {
  EXPECT_EQ(shown("N."), "None");
  EXPECT_EQ(shown("I01\n."), "True");
  EXPECT_EQ(shown("I00\n."), "False");
  EXPECT_EQ(shown("I-5\n."), "-5");
  EXPECT_EQ(shown("L9223372036854775807L\n."), "9223372036854775807");
  EXPECT_EQ(shown("F-0.5\n."), "-0.5");
  EXPECT_TRUE(std::isnan(parse_pickle("Fnan\n.", "").real()));
  EXPECT_EQ(shown(pickled("K\xff")), "255");
  EXPECT_EQ(shown(pickled("M\xff\xff")), "65535");
  EXPECT_EQ(shown(pickled("J\xfe\xff\xff\xff")), "-2");
  EXPECT_EQ(shown(pickled("\x8a\0"s)), "0");
  EXPECT_EQ(shown(pickled("\x8a\1\x80"s)), "-128");
  EXPECT_EQ(shown(pickled("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\0"s)), "9223372036854775807");
  EXPECT_EQ(shown(pickled("\x8b\2\0\0\0\0\1"s)), "256");
  EXPECT_EQ(shown(pickled("G\xbf\xe0\0\0\0\0\0\0"s)), "-0.5");
  EXPECT_NE(pickle_error("L9223372036854775808L\n.").find("not a pickle"), std::string::npos);
  expect_error(pickled("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\0"s), "corrupt pickle at byte 2 (integer of more than 64 bits)");
  expect_error(pickled("\x8b\xff\xff\xff\xff"), "negative length");
  expect_error(pickled("I12x\n"), "no integer of 64 bits");
  expect_error(pickled("F1,5\n"), "no number");
}

TEST(Pickle, Strings) {
  EXPECT_EQ(shown("S'a\\'\\x41\\n\\101\\\\'\n."), "'a'A\nA\\'");
  EXPECT_EQ(shown("S\"\xe9\"\n."), "'\u00e9'");  // the strings of Python 2 are latin-1
  EXPECT_EQ(shown("T\3\0\0\0a\xe9z."s), "'a\u00e9z'");
  EXPECT_EQ(shown("U\2a\xff."), "'a\u00ff'");
  EXPECT_EQ(shown("V\xe9\\u20ac\\U0001f600\\ud83d\\ude00\\\\u\n."), "'\u00e9\u20ac\U0001F600\U0001F600\\\\u'");
  EXPECT_EQ(shown(pickled("X\2\0\0\0\xc3\xa9"s)), "'\u00e9'");
  EXPECT_EQ(shown("\x80\4\x8c\1a."), "'a'");
  EXPECT_EQ(shown("\x80\4\x8d\1\0\0\0\0\0\0\0a."s), "'a'");
  EXPECT_EQ(shown(pickled("C\1\xff")), "b'\xff'");
  EXPECT_EQ(shown("\x80\4\x8e\1\0\0\0\0\0\0\0\xff."s), "b'\xff'");
  EXPECT_EQ(shown("\x80\5\x96\1\0\0\0\0\0\0\0\xff."s), "b'\xff'");  // bytearray
  expect_error(pickled("X\1\0\0\0\xff"s), "text that is not UTF-8");
  expect_error(pickled("S'abc\n"), "badly quoted string");
  expect_error(pickled("S'\\x4'\n"), "badly quoted string");
  expect_error(pickled("V\\ud83d\n"), "bad escape in a text");
  expect_error(pickled("V\\u12\n"), "bad escape in a text");
  expect_error(pickled("S'no end of the line'"), "line without an end");
}

TEST(Pickle, NoLengthIsBelieved) {
  expect_error(pickled("B\xff\xff\xff\xff"), "corrupt pickle at byte 2 (longer than the file)");
  expect_error(pickled("X\xff\xff\xff\x7f"), "longer than the file");
  expect_error(pickled("\x8e\xff\xff\xff\xff\xff\xff\xff\xff"), "longer than the file");
  expect_error(pickled("\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"), "longer than the file");
  expect_error(pickled("\x95\xff\xff\xff\xff\xff\xff\xff\x7f"), "longer than the file");
  expect_error(pickled("\x8b\xff\xff\xff\x7f"), "longer than the file");
  expect_error(pickled("T\xff\xff\xff\xff"), "negative length");
}

TEST(Pickle, Utf8) {
  for (const std::string good : {"", "abc", "\u00e9", "\u20ac", "\U0001F600", "\U0010FFFF"}) EXPECT_TRUE(is_utf8(good)) << good;
  for (const std::string bad : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xff"})
    EXPECT_FALSE(is_utf8(bad));
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_TRUE(is_utf8(utf8_from_latin1(all)));
  EXPECT_EQ(latin1_from_utf8(utf8_from_latin1(all)), all);
  EXPECT_FALSE(latin1_from_utf8("\u20ac"));
}

TEST(Pickle, ContainersStackAndMemo) {
  EXPECT_EQ(shown("(I1\nI2\nl."), "[1, 2]");
  EXPECT_EQ(shown("(I1\nI2\nt."), "(1, 2)");
  EXPECT_EQ(shown("(I1\nI2\nd."), "{1: 2}");
  EXPECT_EQ(shown("(dI1\nI2\ns."), "{1: 2}");
  EXPECT_EQ(shown("](I1\nI2\ne."), "[1, 2]");
  EXPECT_EQ(shown("\x80\4\x8f(K\1\x90."), "<1>");
  EXPECT_EQ(shown("\x80\4(K\1\x91."), "<1>");
  EXPECT_EQ(shown(pickled("K\1\x85")), "(1)");
  EXPECT_EQ(shown(pickled("K\1K\2\x86")), "(1, 2)");
  EXPECT_EQ(shown(pickled("K\1K\2K\3\x87")), "(1, 2, 3)");
  EXPECT_EQ(shown("I1\n2\x86."), "(1, 1)");                    // DUP
  EXPECT_EQ(shown("I1\nI2\n0(I3\n1."), "1");                   // POP and POP_MARK
  EXPECT_EQ(shown("I1\n(0."), "1");                            // POP of a mark
  EXPECT_EQ(shown("I1\np5\n0g5\n."), "1");
  EXPECT_EQ(shown("I1\nq\5" "0h\5."), "1");
  EXPECT_EQ(shown("I1\nr\5\1\0\0" "0j\5\1\0\0."s), "1");
  EXPECT_EQ(shown("\x80\4]\x94K\1\x94" "0h\1a."), "[1]");
  EXPECT_EQ(shown("}(I1\nI2\nI3\nI4\nI1\nI5\nu."), "{1: 5, 3: 4}");                              // the later value wins
  EXPECT_EQ(shown("}(I1\nNF1.0\nNI01\nI7\nN\x88" "C\1aNU\1aN)N(I1\nt\x89u."s), "{1: 7, None: True, b'a': None, 'a': None, (): None, (1): False}");
  for (const char* bad : {".", "a.", "s.", "t.", "1.", "0.", "2.", "(.", "(a.", "N(0a.", "NNa.", "N(NNu.", "](NNu.", "}(Nu.", "NN.",
      "g5\n.", "p0\n.", "u.",
                          "\x8fNa", "](N\x90", "N\x85\x86", "\xff", "\1", "\x82\1", "\x83\1", "\x84\1", "\x97", "\x98", "NPx\n", "NQ"})
    expect_error(pickled("NN00"s + bad), "corrupt pickle at byte ");
  expect_error(pickled("}]Ns"), "dict key of kind list");
  expect_error(pickled("})\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85Ns"), "dict key of nested tuples");
}

TEST(Pickle, OthersAreNotPickles) {
  for (const std::string& bytes : {""s, "hello world"s, "this is a text file\n"s, "import os\nimport sys\n"s, "\x89PNG\r\n\x1a\n"s,
      "PK\3\4"s, "{\"a\": 1}"s,
                                   "\x93NUMPY\1"s, "\x80\xff"s, "config text\nand more\n"s, "S"s, "\xff\xd8\xff\xe0"s, "\x80"s})
    EXPECT_EQ(pickle_error(bytes), "a.pkl: not a pickle") << bytes;
  EXPECT_EQ(pickle_error("\x80\6N."), "a.pkl: pickle of protocol 6; expected 0..5");
  EXPECT_EQ(shown("N.and more"), "None");
}

TEST(Pickle, NothingIsExecuted) {
  EXPECT_EQ(pickle_error("cos\nsystem\n(S'true'\ntR."), "a.pkl: refusing to load 'os.system' from a pickle");
  EXPECT_EQ(pickle_error("(S'true'\nios\nsystem\n."), "a.pkl: refusing to load 'os.system' from a pickle");
  EXPECT_EQ(pickle_error("(cos\nsystem\nS'true'\no."), "a.pkl: refusing to load 'os.system' from a pickle");
  EXPECT_EQ(pickle_error("\x80\4\x8c\2os\x8c\6system\x93."), "a.pkl: refusing to load 'os.system' from a pickle");
  for (const auto& [module, name] : std::vector<std::pair<std::string, std::string>>{
           {"builtins", "eval"}, {"__builtin__", "getattr"}, {"builtins", "object.__class__"}, {"numpy", "load"}, {"numpy", "matrix"},
           {"torch", "load"},
           {"torch._utils", "_rebuild_sparse_tensor"}, {"torch.storage", "_load_from_bytes"}, {"collections", "defaultdict"}, {"chumpy.ch", "Select"},
           {"scipy.sparse.csc", "loadtxt"}, {"numpy.core.multiarray.x", "scalar"}, {"", ""}})
    EXPECT_EQ(error_of(global_op(module, name)), "a.pkl: refusing to load '" + module + "." + name + "' from a pickle");
  EXPECT_EQ(error_of(global_op("a\x1b[0m", "b")), "a.pkl: refusing to load 'a?[0m.b' from a pickle");
  // What is no function is not called, and state goes only to what has some.
  for (const std::string& value : {"NN\x85R"s, "K\1)R"s, "c_codecs\nencode\nNR"s, global_op("torch", "float32") + ")R", "NNb"s, "]}b"s, "K\1}b"s,
                                   global_op("collections", "OrderedDict") + "}b", "}K\1b"s, "N)\x81"s, "(o"s, "K\1N\x93"s})
    expect_error(pickled(value), "corrupt pickle at byte ");
  expect_error(pickled(global_op("builtins", "object") + ")}(X\1\0\0\0aNu\x92"s), "named arguments");
  EXPECT_EQ(shown(pickled(global_op("builtins", "object") + ")}\x92")), "builtins.object|None");
  EXPECT_EQ(shown(pickled(global_op("torch", "float32"))), "torch.float32|None");  // a name alone does nothing
}

TEST(Pickle, BoundsOnWhatAFileMakesUsBuild) {
  EXPECT_EQ(pickle_error(std::string(100000, ']') + std::string(99999, 'a') + "."), "a.pkl: pickle with more than 200 levels of containers");
  EXPECT_EQ(shown("N" + std::string(100000, ']') + std::string(99999, 'a') + "0."), "None");  // a deep value that is thrown away
  const std::string nested = std::string(100, ']') + std::string(99, 'a');
  EXPECT_EQ(shown(nested + "."), std::string(100, '[') + std::string(100, ']'));
  PickleOptions options;
  options.limits.depth = 50;
  EXPECT_EQ(pickle_error(nested + ".", options), "a.pkl: pickle with more than 50 levels of containers");
  // The same depth reached from below: a finished chain inside of another.
  EXPECT_EQ(pickle_error("](" + std::string(40, ']') + std::string(39, 'a') + "q\1" + std::string(40, ']') + "h\1" + std::string(40, 'a') +
      "e.", options),
            "a.pkl: pickle with more than 50 levels of containers");

  std::string doubling = "]q";
  doubling += '\0';
  for (char i = 1; i < 60; ++i) doubling += "](h"s + static_cast<char>(i - 1) + "h" + static_cast<char>(i - 1) + "eq" + i;
  EXPECT_EQ(pickle_error("(" + doubling + "t."), "a.pkl: pickle with more than 16777216 values");

  options = {};
  options.limits.objects = 10;
  EXPECT_EQ(pickle_error("(" + std::string(20, ']') + "t.", options), "a.pkl: pickle with more than 10 objects");
  options = {};
  options.limits.memo = 5;
  EXPECT_EQ(pickle_error("\x80\4]" + std::string(9, '\x94') + ".", options), "a.pkl: pickle with more than 5 memo entries");
  options = {};
  options.limits.text_bytes = 3;
  EXPECT_EQ(pickle_error(pickled(text_op("abcd")), options), "a.pkl: pickle with more than 3 bytes in one text");
  EXPECT_EQ(shown(pickled(text_op("abc")), options), "'abc'");

  // One buffer made into many arrays.
  options = {};
  options.limits.array_bytes = 100'000;
  const std::string dtype = dtype_op("u1");
  std::string many = "](" + bytes_op(std::string(10'000, 'x')) + "q\1" + dtype + "q\2";
  for (int i = 0; i < 50; ++i) many += array_op({10'000}, "h\2", false, "h\1");
  EXPECT_NE(pickle_error(pickled(many + "e"), options).find("expands too far"), std::string::npos);
  std::string texts = "](" + text_op(std::string(10'000, 'x')) + "q\1" + text_op("latin1") + "q\2";
  for (int i = 0; i < 50; ++i) texts += global_op("_codecs", "encode") + "h\1h\2\x86R";
  EXPECT_NE(pickle_error(pickled(texts + "e"), options).find("expands too far"), std::string::npos);
}

TEST(Pickle, CyclesAreRefusedOrForgotten) {
  EXPECT_EQ(pickle_error("]q\1h\1a."), "a.pkl: a container of the pickle holds itself");
  EXPECT_EQ(pickle_error("}q\1(I1\nh\1u."), "a.pkl: a container of the pickle holds itself");
  EXPECT_EQ(pickle_error("]q\1(h\1ta."), "a.pkl: a container of the pickle holds itself");
  EXPECT_EQ(shown("N]q\1h\1a0."), "None");
  EXPECT_EQ(shown("(]q\1h\1h\1t."), "([], [], [])");
}

TEST(PickleNumPy, ArraysOfEveryType) {
  for (int i = 0; i <= static_cast<int>(DType::kF64); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (dtype == DType::kBF16) continue;
    Array a = make_array(dtype, {2, 3});
    for (std::size_t b = 0; b < a.data.size(); ++b) a.data[b] = std::byte(dtype == DType::kBool ? b % 2 : b * 7);
    const PickleValue back = parse_pickle(pickled(array_op(a)), "a.pkl");
    EXPECT_EQ(back.array().dtype, a.dtype);
    EXPECT_EQ(back.array().shape, a.shape);
    EXPECT_EQ(back.array().data, a.data) << name_of(dtype);
  }
  EXPECT_EQ(shown(pickled(array_op(make_array(DType::kF32, {0, 3})))), "f32(0, 3)=0");
  EXPECT_EQ(shown(pickled(array_op(make_array(DType::kF32, {})))), "f32()=0");
}

TEST(PickleNumPy, ByteOrderFortranOrderAndStrings) {
  const std::string columns("\0\1\0\4\0\2\0\5\0\3\0\6", 12);  // [[1, 2, 3], [4, 5, 6]], big-endian, by columns
  const std::vector<std::int64_t> expected{1, 2, 3, 4, 5, 6};
  for (const std::string& buffer : {bytes_op(columns), "U\x0c" + columns,  // bytes, a string of Python 2, and a text for Python 3's protocol 2
                                    call_op("_codecs", "encode", {text_op(columns), text_op("latin1")}), text_op(columns)}) {
    const PickleValue v = parse_pickle(pickled(array_op({2, 3}, dtype_op("i2", ">"), true, buffer)), "a.pkl");
    EXPECT_EQ(to_integers(v.array(), ""), expected);
  }
  const Array wide = make_array<std::uint8_t>({2}, std::vector<std::uint8_t>{0xff, 0x80});
  const PickleValue v = parse_pickle(pickled(array_op({2}, dtype_op("u1", "|"), false, text_op("\u00ff\u0080"))), "a.pkl");
  EXPECT_EQ(v.array().data, wide.data);
  // The oldest state has no version; a dtype may name its order itself.
  const std::string dtype = call_op("numpy", "dtype", {text_op(">i2"), integer_op(0), integer_op(1)});
  const std::string old = call_op("numpy.core.multiarray", "_reconstruct", {global_op("numpy", "ndarray")}) +
                          tuple_op({integers_op({1}), dtype, integer_op(0), bytes_op("\1\2")}) + "b";
  EXPECT_EQ(to_integers(parse_pickle(pickled(old), "").array(), ""), (std::vector<std::int64_t>{258}));
}

TEST(PickleNumPy, NewNamesScalarsBuffersAndSubclasses) {
  const std::string data = bytes_op("\1\2\3\4");
  EXPECT_EQ(shown(pickled(call_op("numpy._core.numeric", "_frombuffer", {data, dtype_op("u1"), integers_op({2, 2}), text_op("C")}))), "u8(2, 2)=10");
  const PickleValue f = parse_pickle(pickled(call_op("numpy.core.numeric", "_frombuffer", {data, dtype_op("u1"), integers_op({2, 2}),
      text_op("F")})), "");
  EXPECT_EQ(to_integers(f.array(), ""), (std::vector<std::int64_t>{1, 3, 2, 4}));
  const auto scalar = [](const std::string& code, const std::string& bytes) {
    return pickled(call_op("numpy._core.multiarray", "scalar", {dtype_op(code), bytes_op(bytes)}));
  };
  EXPECT_EQ(shown(scalar("f8", "\0\0\0\0\0\0\xe0\xbf"s)), "-0.5");
  EXPECT_EQ(shown(scalar("f4", "\0\0\0\xbf"s)), "-0.5");
  EXPECT_EQ(shown(scalar("i4", "\xfe\xff\xff\xff")), "-2");
  EXPECT_EQ(shown(scalar("b1", "\1")), "True");
  EXPECT_NE(pickle_error(scalar("u8", std::string(8, '\xff'))).find("at most 2^63 - 1"), std::string::npos);
  for (const char* module : {"trimesh.caching", "trimesh.util"}) {
    const std::string tracked = call_op("numpy._core.multiarray", "_reconstruct", {global_op(module, "TrackedArray"), integers_op({0}),
        bytes_op("b")}) +
                                tuple_op({integer_op(1), integers_op({4}), dtype_op("u1"), "\x89", data}) + "b";
    EXPECT_EQ(shown(pickled(tracked)), "u8(4,)=10");
  }
  EXPECT_EQ(shown(pickled(dtype_op("f4", ">"))), "numpy.dtype|'>f4'");
}

TEST(PickleNumPy, MalformedArraysAreNamed) {
  const std::string data = bytes_op("\1\2\3\4");
  EXPECT_EQ(error_of(array_op({1}, dtype_op("O8", "|"), false, "]")), "a.pkl: array of Python objects is not supported");
  EXPECT_EQ(error_of(array_op({1}, dtype_op("O8", "|"), false, data)), "a.pkl: array of Python objects is not supported");
  EXPECT_EQ(error_of(array_op({1}, dtype_op("U1"), false, data)), "a.pkl: array; expected a type of f2 f4 f8 i1..i8 u1..u8 b1, found '<U1'");
  EXPECT_NE(error_of(array_op({5}, dtype_op("u1"), false, data)).find("array of shape (5,); expected 5 bytes, found 4"), std::string::npos);
  EXPECT_NE(error_of(array_op({3}, dtype_op("u1"), false, data)).find("expected 3 bytes, found 4"), std::string::npos);
  EXPECT_NE(error_of(array_op({INT64_MAX, 2}, dtype_op("u1"), false, data)).find("too large"), std::string::npos);
  EXPECT_NE(error_of(array_op({-1}, dtype_op("u1"), false, data)).find("too large"), std::string::npos);
  EXPECT_NE(error_of(array_op({1LL << 40}, dtype_op("u1"), false, data)).find("found 4"), std::string::npos);
  EXPECT_NE(error_of(array_op({1}, dtype_op("u1"), false, text_op("\u20ac"))).find("beyond latin-1"), std::string::npos);
  EXPECT_NE(error_of(array_op({1}, "N", false, data)).find("no dtype"), std::string::npos);
  EXPECT_EQ(error_of(call_op("numpy.core.multiarray", "_reconstruct", {global_op("numpy", "ndarray")})),
      "a.pkl: corrupt pickle: an array without its content");
  for (const std::string& value : {call_op("numpy.core.multiarray", "_reconstruct", {}), call_op("numpy.core.multiarray", "_reconstruct", {"N"}),
                                   call_op("numpy.core.multiarray", "scalar", {dtype_op("f4")}), call_op("numpy", "dtype", {}), dtype_op("f4", "?"),
                                   call_op("numpy", "ndarray", {}) + "}b", call_op("numpy", "ndarray", {}) + tuple_op({"N", "N", "N", "N"}) + "b",
                                   call_op("_codecs", "encode", {text_op("a"), text_op("cp1252")}), call_op("_codecs", "encode", {text_op("a")}),
                                   call_op("numpy.core.numeric", "_frombuffer", {data})})
    expect_error(pickled(value), "corrupt pickle at byte ");
}

std::string object_of(const std::string& module, const std::string& name, const std::string& state) {
  return call_op("copy_reg", "_reconstructor", {global_op(module, name), global_op("__builtin__", "object"), "N"}) + state + "b";
}

TEST(PickleObjects, SparseMatricesBecomeDense) {
  // Columns (0, 1, 0), (0, 0, 0), (2, 0, 3 + 4) of a matrix with three rows
  const Array data = make_array<double>({4}, std::vector<double>{1, 2, 3, 4});
  const Array indices = make_array<std::int32_t>({4}, std::vector<std::int32_t>{1, 0, 2, 2});
  const Array indptr = make_array<std::int32_t>({4}, std::vector<std::int32_t>{0, 1, 1, 4});
  const auto state = [&](const Array& places, const Array& begins, const std::vector<std::int64_t>& shape) {
    return dict_op({{"_shape", integers_op(shape)}, {"data", array_op(data)}, {"indices", array_op(places)}, {"indptr", array_op(begins)}});
  };
  const std::string good = state(indices, indptr, {3, 3});
  for (const char* module : {"scipy.sparse.csc", "scipy.sparse._csc"}) {
    const PickleValue v = parse_pickle(pickled(object_of(module, "csc_matrix", good)), "");
    EXPECT_EQ(v.array().shape, (std::vector<std::int64_t>{3, 3}));
    EXPECT_EQ(to_floats(v.array()), (std::vector<float>{0, 0, 2, 1, 0, 0, 0, 0, 7}));
  }
  const PickleValue rows = parse_pickle(pickled(global_op("scipy.sparse._csr", "csr_matrix") + ")\x81" + good + "b"), "");
  EXPECT_EQ(to_floats(rows.array()), (std::vector<float>{0, 1, 0, 0, 0, 0, 2, 0, 7}));
  const auto bad = [&](const std::string& text) { expect_error(pickled(object_of("scipy.sparse.csc", "csc_matrix", text)), "corrupt pickle"); };
  bad(state(indices, indptr, {2, 3}));   // row 2 does not exist
  bad(state(indices, indptr, {3, 2}));
  bad(state(indices, indptr, {3}));
  bad(state(indices, indptr, {-3, 3}));
  bad(state(indices, make_array<std::int32_t>({4}, std::vector<std::int32_t>{0, 3, 1, 4}), {3, 3}));
  bad(state(indices, make_array<std::int32_t>({4}, std::vector<std::int32_t>{0, 1, 1, 9}), {3, 3}));
  bad(state(indices, make_array(DType::kI32, {0}), {3, 3}));
  bad(state(make_array(DType::kF32, {4}), indptr, {3, 3}));
  bad(state(make_array(DType::kI32, {3}), indptr, {3, 3}));
  bad(dict_op({{"data", array_op(data)}}));
  bad("N");
  expect_error(pickled(object_of("scipy.sparse.csc", "csc_matrix", state(indices, indptr, {1LL << 31, 3}))), "expands too far");
  EXPECT_EQ(error_of(global_op("scipy.sparse._csr", "csr_matrix") + ")\x81"), "a.pkl: corrupt pickle: a sparse matrix without its content");
}

TEST(PickleObjects, ChumpyGivesItsArray) {
  const std::string with_x = dict_op({{"dirty", "N"}, {"x", array_op(kNumbers)}});
  EXPECT_EQ(shown(pickled(object_of("chumpy.ch", "Ch", with_x))), "f32(2, 3)=21");
  EXPECT_EQ(shown(pickled(object_of("chumpy.reordering", "Select", with_x))), "f32(2, 3)=21");
  EXPECT_EQ(error_of(object_of("chumpy.reordering", "Select", dict_op({{"a", "N"}}))), "a.pkl: object of chumpy without its array 'x'");
  EXPECT_EQ(error_of(object_of("chumpy.ch", "Ch", dict_op({{"x", "N"}}))), "a.pkl: object of chumpy without its array 'x'");
  EXPECT_EQ(error_of(global_op("chumpy.ch", "Ch") + ")\x81"), "a.pkl: object of chumpy without its array 'x'");
}

TEST(PickleObjects, PlainContainers) {
  EXPECT_EQ(shown(pickled(global_op("collections", "OrderedDict") + ")R}(X\1\0\0\0_Nub"s)), "{}");  // attributes are dropped
  EXPECT_EQ(shown("ccollections\nOrderedDict\n((lp1\n(lI1\naI2\naatR."), "{1: 2}");                // Python 2
  EXPECT_EQ(shown(pickled(object_of("builtins", "object", dict_op({{"a", "K\1"}})))), "builtins.object|{'a': 1}");
  EXPECT_EQ(shown(pickled(call_op("__builtin__", "bytes", {}))), "b''");
  EXPECT_EQ(shown(pickled(call_op("__builtin__", "bytearray", {text_op("\u00ff"), text_op("latin-1")}))), "b'\xff'");
  EXPECT_EQ(shown(pickled(call_op("builtins", "frozenset", {"](K\1K\2e"}))), "<1, 2>");
  EXPECT_EQ(shown(pickled(call_op("torch", "Size", {"](K\1K\2e"}))), "(1, 2)");
  EXPECT_EQ(shown(pickled(call_op("torch", "device", {text_op("cuda"), integer_op(1)}))), "'cuda:1'");
}

TEST(PickleValues, QuestionsAndNames) {
  const PickleValue v = parse_pickle(pickled(dict_op({{"a", dict_op({{"b", array_op(kNumbers)}, {"c", "]"}})}, {"l", "](K\1" +
      array_op(kNumbers) + "e"}})), "");
  EXPECT_TRUE(v.contains("a"));
  EXPECT_FALSE(v.contains("b"));
  EXPECT_TRUE(v.find("b").is(Kind::kNone));
  EXPECT_EQ(v.find("a").find("b").array().shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_THROW((void)v.integer(), Error);
  EXPECT_THROW((void)v.item(0), Error);
  EXPECT_THROW((void)PickleValue().size(), Error);
  std::string names;
  for_each_leaf(v, [&](const std::string& name, const PickleValue& leaf) { names += name + ":" + name_of(leaf.kind()) + " "; });
  EXPECT_EQ(names, "a.b:array a.c:list l.0:integer l.1:array ");
  const ArrayMap arrays = flatten_arrays(v, "a.pkl");
  ASSERT_EQ(arrays.size(), 2U);
  EXPECT_EQ(arrays.at("a.b").data, kNumbers.data);
  EXPECT_EQ(arrays.at("l.1").data, kNumbers.data);
  EXPECT_EQ(flatten_arrays(parse_pickle(pickled(array_op(kNumbers)), ""), "").count(""), 1U);
  const auto refused = [](const std::string& value) {
    return input_error([&] { (void)flatten_arrays(parse_pickle(pickled(value), ""), "a.pkl"); });
  };
  EXPECT_EQ(refused(dict_op({{"a.b", array_op(kNumbers)}, {"a", dict_op({{"b", array_op(kNumbers)}})}})), "a.pkl: array 'a.b' is given twice");
  EXPECT_EQ(refused(dict_op({{std::string(2000, 'k'), array_op(kNumbers)}})), "a.pkl: array whose name is longer than 1024 bytes");
  std::string many = "](" + array_op(make_array(DType::kF32, {1 << 20})) + "q\1";
  for (int i = 0; i < 40; ++i) many += "h\1";
  EXPECT_EQ(refused(many + "e"), "a.pkl: the same arrays stand in too many places");
}

TEST(PickleWrite, ReadsBackTheSame) {
  ArrayMap arrays;
  arrays["betas"] = make_array<float>({1, 3}, std::vector<float>{1, -2.5F, 1e-30F});
  arrays["scale"] = make_array<double>({1}, std::vector<double>{0.45});
  arrays["ids"] = make_array<std::int64_t>({2, 0}, std::vector<std::int64_t>{});
  arrays["flags"] = make_array<std::uint8_t>({}, std::vector<std::uint8_t>{200});
  const PickleValue value = parse_pickle(format_pickle_arrays(arrays), "f");
  ASSERT_EQ(value.size(), 4U);
  for (const auto& [name, array] : arrays) {
    const Array& back = value.find(name).array();
    EXPECT_EQ(back.dtype, array.dtype) << name;
    EXPECT_EQ(back.shape, array.shape) << name;
    EXPECT_EQ(back.data, array.data) << name;
  }
}

}  // namespace
}  // namespace layeravatar::io
