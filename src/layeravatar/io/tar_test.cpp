#include "layeravatar/io/tar.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdio>
#include <map>

#include "layeravatar/io/sha1.h"
#include "layeravatar/io/support_test.h"

namespace layeravatar::io {
namespace {

// One member as POSIX ustar writes it: header, content, padding.
std::string member(const std::string& name, const std::string& content, char type = '0') {
  std::string h(512, '\0');
  h.replace(0, name.size(), name);
  h.replace(100, 7, "0000644");
  char size[13];
  std::snprintf(size, sizeof size, "%011o", static_cast<unsigned>(content.size()));
  h.replace(124, 11, size);
  h[156] = type;
  h.replace(257, 8, std::string("ustar\00000", 8));
  h.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  char check[8];
  std::snprintf(check, sizeof check, "%06o", sum);
  h.replace(148, 7, std::string(check, 7));
  return h + content + std::string((512 - content.size() % 512) % 512, '\0');
}

std::string gzipped(const std::string& plain) {
  std::string out(plain.size() + 1000, '\0');
  z_stream s{};
  deflateInit2(&s, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  s.avail_in = static_cast<uInt>(plain.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&s, Z_FINISH), Z_STREAM_END);
  out.resize(s.total_out);
  deflateEnd(&s);
  return out;
}

const std::string kEnd(1024, '\0');

std::map<std::string, std::string> unpacked(const std::string& tgz, TarLimits limits = {}) {
  std::map<std::string, std::string> out;
  read_tgz(
      tgz, "a.tgz", [&](const std::string& path, std::string_view content) { out[path] = content; }, limits);
  return out;
}

std::string tar_error(const std::string& tgz, TarLimits limits = {}) {
  return input_error([&] { (void)unpacked(tgz, limits); });
}

TEST(Sha1, PublishedVectors) {  // FIPS 180-4 examples, and RFC 3174's million of a
  EXPECT_EQ(sha1_hex(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(sha1_hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(sha1_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(sha1_hex(std::string(1000000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST(Tar, UnpacksFilesAndLongNames) {
  const std::string deep = "package/" + std::string(150, 'd') + "/f";
  const std::string record = std::to_string(3 + 1 + 5 + deep.size() + 1) + " path=" + deep + "\n";  // 3 digits
  const std::string big(2000, 'x');
  const auto files =
      unpacked(gzipped(member("package/", "", '5') + member("package/a.txt", "hello") + member("x", record, 'x') +
                       member("short", "deep") + member("package/b", big) + member("package/empty", "") + kEnd));
  EXPECT_EQ(files, (std::map<std::string, std::string>{
                       {"package/a.txt", "hello"}, {deep, "deep"}, {"package/b", big}, {"package/empty", ""}}));
}

TEST(Tar, RefusesWhatLeavesTheFolder) {
  for (const char* path : {"/etc/x", "../x", "a/../../x", "a//x", "./x", "a/", "a\\..\\x"})
    EXPECT_EQ(tar_error(gzipped(member(path, "x") + kEnd)), std::string("a.tgz: unsafe path '") + path + "'");
  for (const char type : {'1', '2', '3', '6'})
    EXPECT_EQ(tar_error(gzipped(member("a", "", type) + kEnd)),
              "a.tgz: 'a' is a link or device; only files are unpacked");
}

TEST(Tar, RefusesDamageAndExcess) {
  const std::string plain = member("a", "hello") + member("b", std::string(600, 'b')) + kEnd;
  const std::string good = gzipped(plain);
  for (std::size_t cut = 0; cut < good.size() - 12; ++cut)  // the last block holds zeros that nobody needs
    EXPECT_NE(tar_error(good.substr(0, cut)), "") << cut;
  EXPECT_EQ(tar_error("hello, this is no gzip"), "a.tgz: not gzip data, or corrupt");
  EXPECT_EQ(tar_error(gzipped(plain.substr(0, 1024))), "a.tgz: truncated; the end mark is missing");
  EXPECT_EQ(tar_error(gzipped(plain.substr(0, 1600))), "a.tgz: truncated; expected 600 bytes of a file");
  std::string wrong = plain;
  wrong[0] = 'c';
  EXPECT_EQ(tar_error(gzipped(wrong)), "a.tgz: a tar header has a wrong checksum");
  TarLimits few;
  few.files = 1;
  EXPECT_EQ(tar_error(good, few), "a.tgz: more than 1 files");
  TarLimits small;
  small.file_bytes = 599;
  EXPECT_EQ(tar_error(good, small), "a.tgz: a file of 600 bytes exceeds the limits");
  TarLimits all;
  all.all_bytes = 604;
  EXPECT_EQ(tar_error(good, all), "a.tgz: a file of 600 bytes exceeds the limits");
}

}  // namespace
}  // namespace layeravatar::io
