#include "layeravatar/io/safetensors.h"

#include <array>
#include <functional>
#include <memory>
#include <utility>

#include "layeravatar/io/bytes.h"
#include "layeravatar/io/support_test.h"

namespace layeravatar::io {
namespace {
using SafeTensorsFile = FolderTest;

std::string safetensors(const std::string& header, std::size_t data) {
  std::string out;
  append<std::uint64_t>(out, header.size());
  return out + header + std::string(data, '\0');
}

std::string safetensors_error(const std::string& bytes) {
  return input_error([&] { (void)parse_safetensors(bytes, "a.st"); });
}

TEST_F(SafeTensorsFile, TensorsAndMetadataRoundTrip) {
  SafeTensors content;
  for (int i = 0; i <= static_cast<int>(DType::kF64); ++i) {
    Array a = make_array(static_cast<DType>(i), {3, 1});
    for (std::size_t b = 0; b < a.data.size(); ++b) a.data[b] = std::byte(a.dtype == DType::kBool ? b % 2 : b + 1);
    content.tensors[std::string("layer.") + name_of(a.dtype)] = a;
  }
  content.tensors["scalar"] = make_array(DType::kF32, {});
  content.tensors["empty"] = make_array(DType::kF32, {0, 4});
  content.metadata = {{"format", "pt"}, {"title", "\xc3\xa9t\xc3\xa9 \"1\""}};
  write_safetensors(folder / "a.st", content);
  const SafeTensors back = read_safetensors(folder / "a.st");
  EXPECT_EQ(back.metadata, content.metadata);
  ASSERT_EQ(back.tensors.size(), content.tensors.size());
  for (const auto& [name, array] : content.tensors) {
    EXPECT_EQ(back.tensors.at(name).dtype, array.dtype) << name;
    EXPECT_EQ(back.tensors.at(name).shape, array.shape) << name;
    EXPECT_EQ(back.tensors.at(name).data, array.data) << name;
  }
  const std::string whole = read_file(folder / "a.st");
  EXPECT_EQ(load<std::uint64_t>(whole, 0) % 8, 0U);
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_NE(safetensors_error(whole.substr(0, n)), "") << n;
}

TEST_F(SafeTensorsFile, ArraysLookIntoMemoryThatTheyKeep) {
  SafeTensors content;
  content.tensors["a"] = make_array<float>({2}, std::vector<float>{1, 2});
  content.tensors["b"] = make_array<bool>({1}, std::array<bool, 1>{true});
  content.tensors["odd"] = make_array<std::uint8_t>({3}, std::vector<std::uint8_t>{7, 8, 9});
  write_safetensors(folder / "a.st", content);
  auto bytes = std::make_shared<std::string>(read_file(folder / "a.st"));
  const std::weak_ptr<std::string> watched = bytes;
  SafeTensors back = parse_safetensors(*bytes, "a.st", bytes);
  for (const auto& [name, array] : content.tensors) EXPECT_EQ(back.tensors.at(name).data, array.data) << name;
  const auto inside = [&](const Array& array) { return std::less<>()(bytes->data(), reinterpret_cast<const char*>(array.data.data())) &&
                                                       std::less<>()(reinterpret_cast<const char*>(array.data.data()), bytes->data() + bytes->size()); };
  EXPECT_TRUE(inside(std::as_const(back.tensors.at("a"))));
  EXPECT_FALSE(inside(std::as_const(back.tensors.at("b"))));  // another byte than 1 would be true as well
  bytes.reset();
  EXPECT_FALSE(watched.expired());
  back.tensors.at("a").at<float>()[0] = 5;  // a copy from here
  back.tensors.erase("odd");
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(back.tensors.at("a").at<float>()[1], 2);
  // A header of a length that no writer should choose: the floats lie askew and are copied.
  auto askew = std::make_shared<std::string>(safetensors("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} ", 4));
  ASSERT_NE((reinterpret_cast<std::uintptr_t>(askew->data()) + askew->size() - 4) % 4, 0U);
  EXPECT_EQ(parse_safetensors(*askew, "b.st", askew).tensors.at("a").data.owner(), nullptr);
}

TEST(SafeTensors, ReadsTheExampleOfTheFormat) {
  const SafeTensors s = parse_safetensors(
      safetensors(R"({"__metadata__":{"a":"b"},"t":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}   )", 8), "a.st");
  EXPECT_EQ(s.tensors.at("t").dtype, DType::kBF16);
  EXPECT_EQ(s.tensors.at("t").shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(s.metadata.at("a"), "b");
}

TEST(SafeTensors, MalformedFilesAreNamed) {
  const auto has = [](const std::string& bytes, const std::string& text) {
    const std::string message = safetensors_error(bytes);
    EXPECT_NE(message.find(text), std::string::npos) << message << " / " << text;
  };
  has("abc", "not a safetensors file");
  has(std::string(8, '\xff') + "{}", "found 18446744073709551615");
  has(safetensors("{", 0), "bad header");
  has(safetensors("[]", 0), "expected a JSON object");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
      "tensor 'a' is given twice");
  has(safetensors(R"({"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})", 8), "found C64");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4), "expected 8 bytes for (2,), found 4");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4), "shape; expected a list of integers");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,4]}})", 4), "too large");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4), "bad data_offsets");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[1]}})", 4), "data_offsets is missing");
  has(safetensors(R"({"a":7})", 0), "dtype is missing");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8),
      "tensor 'b' overlaps another");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8), "gap in the data before tensor 'a'");
  has(safetensors(R"({"a":{"dtype":"U8","shape":[1000000000000],"data_offsets":[0,1000000000000]}})", 4),
      "truncated; expected 1000000000000 bytes of data, found 4");
  has(safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5), "left-over data");
  has(safetensors(R"({"__metadata__":{"a":1}})", 0), "__metadata__ 'a'; expected a string");
}

TEST(SafeTensors, DeepNestingCostsNoStack) {
  constexpr int kDepth = 1000000;
  const std::string deep = std::string(kDepth, '[') + std::string(kDepth, ']');
  const std::string message = safetensors_error(safetensors("{\"a\":{\"dtype\":" + deep + "}}", 0));
  EXPECT_TRUE(message.ends_with("I8..I64 U8..U64 BOOL, found array")) << message;
}

}  // namespace
}  // namespace layeravatar::io
