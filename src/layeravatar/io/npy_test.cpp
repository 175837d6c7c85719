#include "layeravatar/io/npy.h"

#include <bit>
#include <fstream>
#include <limits>

#include "layeravatar/io/bytes.h"
#include "layeravatar/io/support_test.h"

namespace layeravatar::io {
namespace {
using NpyFile = FolderTest;

std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  if (version == 1) append<std::uint16_t>(out, static_cast<std::uint16_t>(header.size()));
  else append<std::uint32_t>(out, static_cast<std::uint32_t>(header.size()));
  return out + header + data;
}

std::string npy_error(const std::string& bytes) {
  return input_error([&] { (void)parse_npy(bytes, "a.npy"); });
}

TEST(Array, SizesAreCheckedForOverflow) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({3, 4}), 12);
  EXPECT_EQ(element_count({0, INT64_MAX, INT64_MAX}), 0);
  EXPECT_FALSE(element_count({INT64_MAX, 2}));
  EXPECT_FALSE(element_count({-1}));
  EXPECT_FALSE(byte_count(DType::kF64, {INT64_MAX / 4}));
  EXPECT_EQ(shape_text({5}), "(5,)");
  EXPECT_EQ(shape_text({5, 6}), "(5, 6)");
}

TEST(Array, WrongElementTypeIsAContractError) {
  const Array a = make_array<float>({2}, std::vector<float>{1, 2});
  EXPECT_EQ(a.at<float>()[1], 2);
  EXPECT_THROW((void)a.at<double>(), Error);
}

TEST(Array, HalfAndBfloatBecomeFloats) {
  EXPECT_EQ(to_float(Half{0x3C00}), 1.0F);
  EXPECT_EQ(to_float(Half{0xC500}), -5.0F);
  EXPECT_EQ(to_float(Half{0x0001}), 0x1p-24F);
  EXPECT_EQ(to_float(Half{0x7C00}), std::numeric_limits<float>::infinity());
  std::vector<Half> all;
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) all.push_back(Half{static_cast<std::uint16_t>(bits)});
  std::vector<float> many(all.size());
  to_floats(all, many.data());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(std::bit_cast<std::uint32_t>(many[i]), std::bit_cast<std::uint32_t>(to_float(all[i]))) << i;
  EXPECT_EQ(to_float(BFloat16{0xC0A0}), -5.0F);
}

TEST(Array, ConversionsAndShapeMessages) {
  const Array a = make_array<std::uint16_t>({1, 2}, std::vector<std::uint16_t>{7, 65535});
  EXPECT_EQ(to_integers(a, "x"), (std::vector<std::int64_t>{7, 65535}));
  EXPECT_EQ(to_floats(a), (std::vector<float>{7, 65535}));
  expect_shape(a, {-1, 2}, "x");
  EXPECT_EQ(input_error([&] { expect_shape(a, {3}, "f.npz: array 'k'"); }), "f.npz: array 'k'; expected (3,), found (1, 2)");
  const Array f = make_array(DType::kF32, {1});
  EXPECT_EQ(input_error([&] { (void)to_integers(f, "f.npy"); }), "f.npy: expected integers, found f32");
}

TEST(Npy, EveryTypeSurvivesARoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::kF64); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (dtype == DType::kBF16) continue;
    Array a = make_array(dtype, {2, 3});
    for (std::size_t b = 0; b < a.data.size(); ++b) a.data[b] = std::byte(dtype == DType::kBool ? b % 2 : b * 7);
    const Array back = parse_npy(format_npy(a), "a.npy");
    EXPECT_EQ(back.dtype, a.dtype);
    EXPECT_EQ(back.shape, a.shape);
    EXPECT_EQ(back.data, a.data) << name_of(dtype);
  }
  EXPECT_EQ(format_npy(make_array(DType::kF32, {})).size(), 64U * 2 + 4);
  EXPECT_THROW((void)format_npy(make_array(DType::kBF16, {1})), Error);
}

TEST(Npy, FortranOrderAndBigEndianBecomeCOrder) {
  // [[1, 2, 3], [4, 5, 6]] by columns
  const std::string data("\0\1\0\4\0\2\0\5\0\3\0\6", 12);
  const Array a = parse_npy(npy("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n", data, 2), "a.npy");
  EXPECT_EQ(to_integers(a, ""), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(a.shape, (std::vector<std::int64_t>{2, 3}));
}

TEST(Npy, OldAndNewHeaders) {
  const Array a = parse_npy(npy("{\"shape\":(2L,),\"descr\":\"|u1\",\"fortran_order\":False}", "\5\6", 3), "a.npy");
  EXPECT_EQ(to_integers(a, ""), (std::vector<std::int64_t>{5, 6}));
}

TEST(Npy, MalformedFilesAreNamed) {
  EXPECT_EQ(npy_error(""), "a.npy: not a NumPy array file");
  EXPECT_EQ(npy_error("PK\3\4 and so on"), "a.npy: not a NumPy array file");
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }";
  EXPECT_EQ(npy_error(npy(good, "12345")), "a.npy: truncated; expected 16 bytes of data, found 5");
  EXPECT_EQ(npy_error(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "12345678")),
            "a.npy: array of Python objects is not supported");
  EXPECT_NE(npy_error(npy("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }", "")).find("bad header: descr"),
            std::string::npos);
  EXPECT_NE(npy_error(npy("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", "")).find("fortran_order"),
            std::string::npos);
  EXPECT_EQ(npy_error(npy("{'descr': '<f4', 'fortran_order': False}", "")), "a.npy: bad header: shape is missing");
  EXPECT_NE(npy_error(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976, 64), }", ""))
                .find("too large"), std::string::npos);
  EXPECT_EQ(npy_error(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }", "")),
            "a.npy: truncated; expected 8000000000000 bytes of data, found 0");
  EXPECT_NE(npy_error(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", "")).find("shape"),
            std::string::npos);
}

TEST(Npy, NoPrefixOfAFileIsAccepted) {
  const std::string whole = format_npy(make_array(DType::kF32, {3}));
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_NE(npy_error(whole.substr(0, n)), "") << n;
}

TEST_F(NpyFile, FilesRoundTripAndMissingFileIsNamed) {
  const Array a = make_array<double>({2}, std::vector<double>{0.5, -3});
  write_npy(folder / "a.npy", a);
  EXPECT_EQ(read_npy(folder / "a.npy").data, a.data);
  EXPECT_NE(input_error([&] { (void)read_npy(folder / "b.npy"); }).find("b.npy: cannot open: No such file"),
            std::string::npos);
}

class NpzLayout : public FolderTest, public ::testing::WithParamInterface<ZipOptions> {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder); }
};
using NpzFile = FolderTest;

ArrayMap some_arrays() {
  ArrayMap arrays;
  arrays["v_template"] = make_array<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  arrays["empty"] = make_array(DType::kI64, {0, 3});
  arrays["zeros"] = make_array(DType::kU8, {300000});
  return arrays;
}

TEST_P(NpzLayout, RoundTrip) {
  const ArrayMap arrays = some_arrays();
  write_npz(folder / "a.npz", arrays, GetParam());
  const ArrayMap back = read_npz(folder / "a.npz");
  ASSERT_EQ(back.size(), arrays.size());
  for (const auto& [name, array] : arrays) {
    EXPECT_EQ(back.at(name).shape, array.shape);
    EXPECT_EQ(back.at(name).data, array.data);
  }
}

INSTANTIATE_TEST_SUITE_P(Npz, NpzLayout,
                         ::testing::Values(ZipOptions{0}, ZipOptions{6}, ZipOptions{9}, ZipOptions{0, 0},
                                           ZipOptions{6, 0}, ZipOptions{6, 200}));

TEST_F(NpzFile, EqualArraysGiveEqualBytes) {
  write_npz(folder / "a.npz", some_arrays());
  write_npz(folder / "b.npz", some_arrays());
  EXPECT_EQ(read_file(folder / "a.npz"), read_file(folder / "b.npz"));
}

// Damage anywhere is an error or harmless, never a crash or wrong numbers.
TEST_F(NpzFile, DamageIsReported) {
  const auto put = [&](const std::string& bytes) { std::ofstream(folder / "b.npz", std::ios::binary) << bytes; };  // without a flush to the disk
  ArrayMap arrays;
  arrays["k"] = make_array<float>({2}, std::vector<float>{1, 2});
  for (const int level : {0, 6}) {
    for (const std::uint64_t zip64_from : {std::uint64_t{0xFFFFFFFF}, std::uint64_t{0}}) {
      write_npz(folder / "a.npz", arrays, {level, zip64_from});
      const std::string whole = read_file(folder / "a.npz");
      for (std::size_t n = 0; n < whole.size(); ++n) {
        put(whole.substr(0, n));
        EXPECT_NE(input_error([&] { (void)read_npz(folder / "b.npz"); }), "") << "cut at " << n;
        for (const char value : {'\0', '\x7f', '\xff'}) {
          std::string bytes = whole;
          bytes[n] = value;
          put(bytes);
          input_error([&] {
            const NpzReader reader(folder / "b.npz");
            if (reader.contains("k")) {
              EXPECT_EQ(reader.read("k").data, arrays["k"].data) << n;
            }
          });
        }
      }
    }
  }
}

TEST_F(NpzFile, MessagesOfTheSpecification) {
  const auto path = folder / "a.npz";
  const std::string name = path.string();
  write_file(path, "this is a text file, and no archive");
  EXPECT_EQ(input_error([&] { (void)read_npz(path); }), name + ": not a zip archive");
  ArrayMap arrays;
  arrays["k"] = make_array<float>({2}, std::vector<float>{1, 2});
  write_npz(path, arrays, {0});
  EXPECT_EQ(input_error([&] { (void)NpzReader(path).read("posedirs"); }), name + ": array 'posedirs' is missing");
  const std::string whole = read_file(path);
  const std::size_t central = whole.find("PK\1\2");
  std::string bytes = whole;
  bytes[central + 10] = 14;
  write_file(path, bytes);
  EXPECT_EQ(input_error([&] { (void)read_npz(path); }), name + ": member 'k.npy' uses compression method 14");
  bytes = whole;
  bytes[central - 1] ^= 1;  // the last byte of the data
  write_file(path, bytes);
  EXPECT_EQ(input_error([&] { (void)read_npz(path); }), name + ": member 'k.npy' is corrupt");
  bytes = whole;  // a deflated member that claims 4 GB
  bytes[central + 10] = 8;
  for (std::size_t i = 0; i < 4; ++i) bytes[central + 24 + i] = '\xf0';
  write_file(path, bytes);
  EXPECT_EQ(input_error([&] { (void)read_npz(path); }), name + ": member 'k.npy' is corrupt");
}

TEST_F(NpzFile, ObjectMembersHurtOnlyWhoReadsThem) {
  ZipWriter zip(folder / "a.npz");
  zip.add("good.npy", format_npy(make_array(DType::kF32, {1})));
  zip.add("bad.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "x"));
  zip.commit();
  const NpzReader reader(folder / "a.npz");
  EXPECT_EQ(reader.names(), (std::vector<std::string>{"good", "bad"}));
  EXPECT_EQ(reader.read("good").count(), 1U);
  EXPECT_EQ(input_error([&] { (void)reader.read("bad"); }),
            reader.file() + ": array 'bad': array of Python objects is not supported");
}

TEST(NpzGolden, ReadsAnArchiveWrittenByNumPy) {
  const ArrayMap arrays = read_npz(LAV_GOLDEN_DIR "/io/h_cache16.npz");
  ASSERT_EQ(arrays.size(), 7U);
  EXPECT_EQ(arrays.at("code").dtype, DType::kF32);
  EXPECT_EQ(arrays.at("code").shape, (std::vector<std::int64_t>{12, 4, 6}));
  EXPECT_EQ(to_floats(arrays.at("code")).front(), 0x1.1434b20000000p+0F);
  EXPECT_EQ(to_floats(arrays.at("code")).back(), 0x1.7f393a0000000p+0F);
  EXPECT_EQ(arrays.at("code_f16").dtype, DType::kF16);
  EXPECT_EQ(arrays.at("code_f16").shape, (std::vector<std::int64_t>{12, 4, 6}));
  EXPECT_EQ(to_floats(arrays.at("code_f16")).front(), 0x1.1440000000000p+0F);
  EXPECT_EQ(to_floats(arrays.at("code_f16")).back(), 0x1.7f40000000000p+0F);
  EXPECT_EQ(arrays.at("exp_avg").dtype, DType::kF32);
  EXPECT_EQ(arrays.at("exp_avg").shape, (std::vector<std::int64_t>{12, 4, 6}));
  EXPECT_EQ(to_floats(arrays.at("exp_avg")).front(), -0x1.da97620000000p-3F);
  EXPECT_EQ(to_floats(arrays.at("exp_avg")).back(), 0x1.b6c6d80000000p-6F);
  EXPECT_EQ(arrays.at("exp_avg_sq").dtype, DType::kF32);
  EXPECT_EQ(arrays.at("exp_avg_sq").shape, (std::vector<std::int64_t>{12, 4, 6}));
  EXPECT_EQ(to_floats(arrays.at("exp_avg_sq")).front(), 0x1.6494500000000p-9F);
  EXPECT_EQ(to_floats(arrays.at("exp_avg_sq")).back(), 0x1.550ca20000000p-9F);
  EXPECT_EQ(arrays.at("exp_avg_bf16_as_f32").dtype, DType::kF32);
  EXPECT_EQ(arrays.at("exp_avg_bf16_as_f32").shape, (std::vector<std::int64_t>{12, 4, 6}));
  EXPECT_EQ(to_floats(arrays.at("exp_avg_bf16_as_f32")).front(), -0x1.da00000000000p-3F);
  EXPECT_EQ(to_floats(arrays.at("exp_avg_bf16_as_f32")).back(), 0x1.b600000000000p-6F);
  EXPECT_EQ(arrays.at("exp_avg_sq_bf16_as_f32").dtype, DType::kF32);
  EXPECT_EQ(arrays.at("exp_avg_sq_bf16_as_f32").shape, (std::vector<std::int64_t>{12, 4, 6}));
  EXPECT_EQ(to_floats(arrays.at("exp_avg_sq_bf16_as_f32")).front(), 0x1.6400000000000p-9F);
  EXPECT_EQ(to_floats(arrays.at("exp_avg_sq_bf16_as_f32")).back(), 0x1.5600000000000p-9F);
  EXPECT_EQ(arrays.at("step").dtype, DType::kF32);
  EXPECT_EQ(arrays.at("step").shape, (std::vector<std::int64_t>{1}));
  EXPECT_EQ(to_floats(arrays.at("step")).front(), 0x1.8000000000000p+1F);
  EXPECT_EQ(to_floats(arrays.at("step")).back(), 0x1.8000000000000p+1F);
}

}  // namespace
}  // namespace layeravatar::io
