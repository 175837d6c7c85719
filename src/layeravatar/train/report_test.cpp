#include "layeravatar/train/report.h"

#include <gtest/gtest.h>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/png.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::train {
namespace {

constexpr const char* kLog =
    "fitted 2 of 2 codes anew\n"
    "iter 50/200 0.250 s loss_decoder 3.5 train_psnr 18 | load 0.01 unet 0.2\n"
    "checkpoint iter_00000050\n"
    "iter 100/200 0.350 s loss_decoder nan train_psnr 19 | load 0.01 unet 0.3\n"
    "iter 100/200 0.300 s loss_decoder 2.5 train_psnr 20 | load 0.02 unet 0.28\n"
    "iter 150/200 0.3";

TEST(Report, TheLogIsRead) {
  const RunLog log = parse_log(kLog);
  EXPECT_EQ(log.iteration, 150);
  EXPECT_EQ(log.iterations, 200);
  ASSERT_EQ(log.curves.at("loss_decoder").size(), 2U);
  EXPECT_EQ(log.curves.at("loss_decoder").at(100), 2.5) << "the last of two";
  EXPECT_EQ(log.curves.at("time/unet").at(50), 0.2);
  EXPECT_EQ(log.curves.at("seconds").at(100), 0.3);
  EXPECT_EQ(log.events, std::vector<std::string>{"fitted 2 of 2 codes anew"});
}

class ReportPage : public testing::FolderTest {};

TEST_F(ReportPage, HoldsEverythingAndStandsAlone) {
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { html_report(folder); }).find("not the folder of a training run"), std::string::npos);
  write_file(folder / "log.txt", kLog);
  write_file(folder / "config.json", R"({"seed": 7, "dataset": "a<b", "stage": [{"from": 0}, {"from": 9}]})");
  std::filesystem::create_directories(folder / "previews");
  io::write_png(folder / "previews" / "iter_00000100.png", {2000, 10, 3, std::vector<std::uint8_t>(60000, 200)});
  std::filesystem::create_directories(folder / "scene");
  write_file(folder / "scene" / "params.json", "{}");
  const std::string hash = data_hash({folder / "scene"});
  record_start(folder, {.iteration = 0, .seconds = 1, .threads = 2, .dataset = "people", .data_sha1 = hash, .scenes = 1});
  record_start(folder, {.iteration = 50, .seconds = 86400, .threads = 2, .dataset = "people", .data_sha1 = hash, .scenes = 1});
  const std::string page = html_report(folder);
  for (const char* part : {"loss_decoder <b>2.5</b>", "train_psnr <b>20</b>", "iter_00000100", "data:image/png;base64,iVBOR", "a&lt;b", "stage 1", "1970-01-02 00:00:00 UTC",
                           "fitted 2 of 2", "Iteration 150 of 200", "unet"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_NE(page.find(hash), std::string::npos);
  for (const char* outside : {"http:", "https:", "<script", "src=\"/"}) EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  write_file(folder / "scene" / "params.json", "{ }");
  EXPECT_NE(data_hash({folder / "scene"}), hash);
}

}  // namespace
}  // namespace layeravatar::train
